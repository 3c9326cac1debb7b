package proof

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// clockJumps gives the server a clock that jumps by hours, with libfaketime. The
// processes keep their clocks: no promise requires equal clocks (P12).
func clockJumps() (platform, func(), error) {
	libraries, _ := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1") // the pattern is valid
	if len(libraries) == 0 {
		return platform{}, nil, errors.New("libfaketime is not installed (apt-get install libfaketime)")
	}
	dir, err := os.MkdirTemp("", "penstock-clock-")
	if err != nil {
		return platform{}, nil, err
	}
	undo := func() { _ = os.RemoveAll(dir) }
	c := &clock{file: filepath.Join(dir, "time")}
	if err := errors.Join(os.Chmod(dir, 0o755), c.set(0)); err != nil {
		undo()
		return platform{}, nil, err
	}
	return platform{
		environ: []string{
			"LD_PRELOAD=" + libraries[0], "FAKETIME_TIMESTAMP_FILE=" + c.file, "FAKETIME_CACHE_DURATION=1", "FAKETIME_DONT_FAKE_MONOTONIC=1",
		},
		nemeses:   []schedule{{c, 3 * time.Second, time.Second, 2 * time.Second}},
		twoClocks: true,
		// Jobs enqueued while the clock was ahead become due only then.
		end: func(ctx context.Context, _ *testbed) error { return c.set(maxClockJump) },
	}, undo, nil
}

// maxClockJump is how far ahead the server's clock may be.
const maxClockJump = 8 * time.Hour

type clock struct {
	nothingToHeal
	file string
}

func (*clock) Name() string { return "clock jump" }

func (c *clock) set(ahead time.Duration) error {
	return os.WriteFile(c.file, fmt.Appendf(nil, "+%d\n", int(ahead.Seconds())), 0o644)
}

func (c *clock) Start(_ context.Context, a *testbed, rng *rand.Rand) error {
	ahead := time.Duration(rng.Int64N(int64(maxClockJump)))
	a.beginFault(Fault{Nemesis: c.Name(), Note: ahead.String()})()
	return c.set(ahead)
}
