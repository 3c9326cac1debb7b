package server

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

func TestAStartWaitsForADatabaseThatMayStillAppear(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"nobody listens":                  {&net.OpError{Op: "dial", Err: errors.New("connection refused")}, true},
		"a proxy before it hangs up":      {fmt.Errorf("receive: %w", io.ErrUnexpectedEOF), true},
		"it hangs up at once":             {io.EOF, true},
		"it starts up":                    {&pgconn.PgError{Code: "57P03"}, true},
		"it shuts down":                   {&pgconn.PgError{Code: "57P01"}, true},
		"it has no connection free":       {&pgconn.PgError{Code: "53300"}, true},
		"it does not know the user":       {&pgconn.PgError{Code: "28000"}, false},
		"it does not know the database":   {&pgconn.PgError{Code: "3D000"}, false},
		"the name resolves to nothing":    {&net.DNSError{Err: "no such host"}, true},
		"it is something else altogether": {errors.New("no luck"), false},
	} {
		require.Equal(t, c.want, mayAppear(fmt.Errorf("connect: %w", c.err)), name)
	}
}
