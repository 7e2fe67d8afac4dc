package config

import (
	"fmt"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

func (c *checker) dpop(d *configv1.DPoP) {
	if d == nil {
		return
	}
	for i, raw := range d.GetOrigins() {
		c.origin(fmt.Sprintf("dpop.origins[%d]", i), raw)
	}
	for i, key := range d.GetNonceKeys() {
		c.secret(fmt.Sprintf("dpop.nonce_keys[%d]", i), key)
	}
}
