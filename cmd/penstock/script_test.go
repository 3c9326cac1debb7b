package main

import (
	"testing"

	"github.com/penstock/penstock/internal/command/commandtest"
)

func TestScripts(t *testing.T) { commandtest.Scripts(t, "penstock") }
