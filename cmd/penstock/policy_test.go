package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

func TestPreviewedDelaysHaveThePrecisionThatJitterLeaves(t *testing.T) {
	require.Equal(t, "1.23s", about(penstock.Milliseconds(1234567*time.Microsecond)))
	require.Equal(t, "3h 7m", about(penstock.Milliseconds(3*time.Hour+7*time.Minute+2*time.Second)))
}
