package maintain

import (
	"log/slog"
	"os"
	"testing"

	"github.com/penstock/penstock/internal/testkit"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(childEnv); url != "" {
		os.Exit(childMain(url))
	}
	testkit.Main(m)
}

// silent is a scheduler's logger that writes nothing.
func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }
