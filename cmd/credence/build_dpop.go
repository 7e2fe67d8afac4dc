package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/credence-authz/credence/config"
	"github.com/credence-authz/credence/oidc"
	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// proofSkew is how far clients' clocks may be from ours.
const proofSkew = 30 * time.Second

// buildDPoP makes what checks proofs; nil where none are.
func buildDPoP(d *configv1.DPoP) (*oidc.DPoP, error) {
	if d == nil {
		return nil, nil
	}
	o := oidc.DPoPOptions{Origins: d.GetOrigins(), MaxAge: d.GetMaxAge().AsDuration(), ClockSkew: proofSkew}
	for i, reference := range d.GetNonceKeys() {
		text, err := config.NewSecret(reference).Read()
		if err != nil {
			return nil, fmt.Errorf("nonce_keys[%d]: %w", i, err)
		}
		key, err := parseNonceKey(text)
		if err != nil {
			return nil, fmt.Errorf("nonce_keys[%d]: %w", i, err)
		}
		o.NonceKeys = append(o.NonceKeys, key)
	}
	return oidc.NewDPoP(o)
}

func parseNonceKey(text string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(text)
	if err == nil && len(key) != 32 {
		err = fmt.Errorf("it has %d bytes", len(key))
	}
	if err != nil {
		return nil, fmt.Errorf("it isn't 32 bytes in base64, as openssl rand -base64 32 prints: %w", plainBase64(err))
	}
	return key, nil
}

// plainBase64 is an error without the text that was read.
func plainBase64(err error) error {
	if _, ok := errors.AsType[base64.CorruptInputError](err); ok {
		return errors.New("a character isn't of base64")
	}
	return err
}
