package proof

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"
)

// crashPostgres is `pg_ctl stop -m immediate` and a start. The server recovers from its
// WAL.
type crashPostgres struct {
	end func()
}

func (*crashPostgres) Name() string { return "crash" }

func (c *crashPostgres) Start(_ context.Context, a *testbed, _ *rand.Rand) error {
	return c.down(a, "crash")
}

func (c *crashPostgres) down(a *testbed, name string) error {
	a.postgresMu.Lock()
	c.end = a.beginFault(Fault{Nemesis: name, Down: true})
	a.server.Crash()
	return nil
}

func (c *crashPostgres) Heal(ctx context.Context, a *testbed) error {
	if c.end == nil {
		return nil
	}
	defer a.postgresMu.Unlock()
	err := a.restart(ctx)
	c.end()
	c.end = nil
	return err
}

// longOutage is a crash that lasts for longer than the lease. No worker can beat, and
// no living worker may be buried for that.
type longOutage struct{ crashPostgres }

func (*longOutage) Name() string { return "outage past the lease" }

func (o *longOutage) Start(_ context.Context, a *testbed, _ *rand.Rand) error {
	return o.down(a, o.Name())
}

// terminateSessions ends some sessions with pg_terminate_backend, as an administrator
// does.
type terminateSessions struct{ nothingToHeal }

func (*terminateSessions) Name() string { return "terminate" }

func (*terminateSessions) Start(ctx context.Context, a *testbed, rng *rand.Rand) error {
	rows, err := a.pool.Query(ctx, `SELECT pid, application_name FROM pg_stat_activity
		WHERE application_name LIKE 'proof %' AND backend_type = 'client backend' ORDER BY pid`)
	if err != nil {
		return err
	}
	type session struct {
		PID int32
		App string
	}
	sessions, err := pgx.CollectRows(rows, pgx.RowToStructByPos[session])
	if err != nil {
		return err
	}
	if len(sessions) == 0 {
		return errNoTarget
	}
	for range 1 + rng.IntN(3) {
		s := sessions[rng.IntN(len(sessions))]
		var role string
		var number int
		_, _ = fmt.Sscanf(s.App, appName, &role, &number) // every session has such a name
		a.beginFault(Fault{Nemesis: "terminate", Process: number, Breaks: true, Note: role})()
		if err := a.exec(ctx, "SELECT pg_terminate_backend($1)", s.PID); err != nil {
			return err
		}
	}
	return nil
}
