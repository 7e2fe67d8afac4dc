package cache_test

import (
	"context"
	"fmt"
	"time"

	"github.com/credence-authz/credence/cache"
)

// A token is verified once, however often and by however many it is asked for.
func Example() {
	keyer := cache.NewKeyer()
	results, err := cache.New(cache.Options{MiB: 4, MaxLife: 15 * time.Minute})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer results.Close()
	var flight cache.Flight[[]byte]

	verify := func(ctx context.Context, token string) (identity []byte, expires time.Time, err error) {
		fmt.Println("verifying")
		return []byte("alice"), time.Now().Add(time.Hour), nil
	}
	identify := func(ctx context.Context, provider, token string) ([]byte, error) {
		key, now := keyer.Key(provider, token), time.Now()
		if identity, ok := results.Get(key, now); ok {
			return identity, nil
		}
		identity, _, err := flight.Do(ctx, key, 5*time.Second, func(ctx context.Context) ([]byte, error) {
			identity, expires, err := verify(ctx, token)
			if err == nil {
				results.Put(key, identity, now, expires)
			}
			return identity, err
		})
		return identity, err
	}

	for range 2 {
		identity, err := identify(context.Background(), "corp", "token")
		fmt.Printf("%s %v\n", identity, err)
	}
	// Output:
	// verifying
	// alice <nil>
	// alice <nil>
}
