package server

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheAddressShownIsOneThatAnswersHere(t *testing.T) {
	for given, want := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080",
		"0.0.0.0:8080":   "http://localhost:8080",
		"[::]:80":        "http://localhost:80",
		"[::1]:80":       "http://[::1]:80",
	} {
		addr, err := net.ResolveTCPAddr("tcp", given)
		require.NoError(t, err)
		require.Equal(t, want, new(Server).baseURL(addr))
	}
}
