package top

import (
	"testing"

	"github.com/penstock/penstock/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }
