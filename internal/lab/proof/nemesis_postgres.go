package proof

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"
)

// crash is `pg_ctl stop -m immediate` and a start: the server recovers from its WAL.
type crash struct {
	end func()
}

func (*crash) Name() string { return "crash" }

func (c *crash) Start(_ context.Context, a *arena, _ *rand.Rand) error {
	return c.down(a, "crash")
}

func (c *crash) down(a *arena, name string) error {
	a.postgres.Lock()
	c.end = a.fault(Fault{Nemesis: name, Down: true})
	a.server.Crash()
	return nil
}

func (c *crash) Heal(ctx context.Context, a *arena) error {
	if c.end == nil {
		return nil
	}
	defer a.postgres.Unlock()
	err := a.restart(ctx)
	c.end()
	c.end = nil
	return err
}

// outage is a crash that outlasts the lease. Nobody could beat, and nobody alive may be
// buried for that.
type outage struct{ crash }

func (*outage) Name() string { return "outage past the lease" }

func (o *outage) Start(_ context.Context, a *arena, _ *rand.Rand) error {
	return o.down(a, o.Name())
}

// terminate ends some sessions from inside the server, as an administrator does.
type terminate struct{ instant }

func (*terminate) Name() string { return "terminate" }

func (*terminate) Start(ctx context.Context, a *arena, rng *rand.Rand) error {
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
		return errNobody
	}
	for range 1 + rng.IntN(3) {
		s := sessions[rng.IntN(len(sessions))]
		var role string
		var number int
		_, _ = fmt.Sscanf(s.App, appName, &role, &number) // they all bear it
		a.fault(Fault{Nemesis: "terminate", Process: number, Breaks: true, Note: role})()
		if err := a.exec(ctx, "SELECT pg_terminate_backend($1)", s.PID); err != nil {
			return err
		}
	}
	return nil
}
