package proof

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// fullDisk puts the cluster on a small file system of its own, and fills it.
func fullDisk() (place, func(), error) {
	dir, unmount, err := smallDisk("700m")
	if err != nil {
		return place{}, nil, err
	}
	return place{
		dir:      filepath.Join(dir, "cluster"),
		settings: map[string]string{"max_wal_size": "128MB", "min_wal_size": "32MB", "shared_buffers": "64MB"},
		nemeses:  []pace{{&ballast{path: filepath.Join(dir, "ballast")}, 12 * time.Second, 2 * time.Second, 4 * time.Second}},
	}, unmount, nil
}

// ballast fills the disk to the last byte.
type ballast struct {
	path string
	end  func()
}

func (*ballast) Name() string { return "full disk" }

func (b *ballast) Start(_ context.Context, a *arena, _ *rand.Rand) error {
	a.postgres.Lock()
	b.end = a.fault(Fault{Nemesis: b.Name(), Down: true})
	file, err := os.Create(b.path)
	if err != nil {
		return err
	}
	defer file.Close()
	for _, size := range []int{1 << 20, 1 << 12} {
		for piece := make([]byte, size); ; {
			if _, err := file.Write(piece); err != nil {
				break // it is full
			}
		}
	}
	return nil
}

// Heal makes room. Postgres may have stopped itself for want of WAL; then it is started
// again, as whatever runs it would.
func (b *ballast) Heal(ctx context.Context, a *arena) error {
	if b.end == nil {
		return nil
	}
	defer a.postgres.Unlock()
	defer func() {
		b.end()
		b.end = nil
	}()
	if err := os.Remove(b.path); err != nil {
		return err
	}
	for range 20 {
		if a.exec(ctx, "SELECT pg_switch_wal()") == nil {
			return nil
		}
		rest(ctx, 100*time.Millisecond)
	}
	return a.restart(ctx)
}
