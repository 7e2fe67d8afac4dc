package session

import (
	"context"
	"time"
)

// Key is what a store knows of a session: a hash of its id.
type Key [32]byte

// Store keeps sealed sessions on the server. It sees ciphertext alone, under keys
// from which no cookie can be made. All methods may be called at the same time.
type Store interface {
	// Get gives what is under key, which the caller doesn't change; nil where
	// there is nothing.
	Get(ctx context.Context, key Key) ([]byte, error)

	// Swap puts value under key until the given time, if what is there equals old
	// (nil: if nothing is there), and says whether it did. So two who renew one
	// session never undo each other.
	Swap(ctx context.Context, key Key, old, value []byte, until time.Time) (bool, error)

	// Delete removes what is under key, if anything is.
	Delete(ctx context.Context, key Key) error
}
