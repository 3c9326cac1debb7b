package proof

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// bouncer puts a PgBouncer in transaction mode between producers and the server.
func bouncer() (platform, func(), error) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/pgbouncer"); err != nil {
			return platform{}, nil, errors.New("pgbouncer is not installed (apt-get install pgbouncer)")
		}
	}
	dir, err := os.MkdirTemp("", "penstock-bouncer-")
	if err != nil {
		return platform{}, nil, err
	}
	return platform{begin: func(ctx context.Context, a *testbed) error {
		text := fmt.Sprintf(`[databases]
postgres = host=%s port=5432 user=postgres dbname=postgres
[pgbouncer]
pool_mode = transaction
auth_type = any
listen_port = 5432
unix_socket_dir = %s
ignore_startup_parameters = extra_float_digits
default_pool_size = 8
max_client_conn = 200
`, a.host(), dir)
		config := filepath.Join(dir, "pgbouncer.ini")
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			return err
		}
		if err := errors.Join(a.server.Give(dir), a.server.Give(config)); err != nil {
			return err
		}
		p, err := a.server.Run(program, config)
		if err != nil {
			return err
		}
		a.programs, a.pooler = append(a.programs, p), dir
		for range 50 { // until its socket is there
			if _, err := os.Stat(filepath.Join(dir, ".s.PGSQL.5432")); err == nil {
				return nil
			}
			sleep(ctx, 100*time.Millisecond)
		}
		return errors.New("pgbouncer did not start")
	}}, func() { _ = os.RemoveAll(dir) }, nil
}
