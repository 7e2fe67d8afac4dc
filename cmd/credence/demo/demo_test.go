package demo

import (
	"fmt"
	"testing"

	"github.com/credence-authz/credence/config"
)

// TestConfigurationIsExemplary: people copy it.
func TestConfigurationIsExemplary(t *testing.T) {
	text := fmt.Sprintf(configText, "127.0.0.1:9001", "127.0.0.1:9090", "http://127.0.0.1:9400", "127.0.0.1:8080", "http://localhost:8000", "/run/secrets")
	file, err := config.Parse("credence.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range file.Warnings {
		t.Error(w)
	}
}
