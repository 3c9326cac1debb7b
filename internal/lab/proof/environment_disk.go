package proof

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// fullDisk puts the cluster on a small file system and fills it.
func fullDisk() (platform, func(), error) {
	dir, unmount, err := smallDisk("700m")
	if err != nil {
		return platform{}, nil, err
	}
	return platform{
		dir:      filepath.Join(dir, "cluster"),
		settings: map[string]string{"max_wal_size": "128MB", "min_wal_size": "32MB", "shared_buffers": "64MB"},
		nemeses:  []schedule{{&diskFiller{path: filepath.Join(dir, "ballast")}, 12 * time.Second, 2 * time.Second, 4 * time.Second}},
	}, unmount, nil
}

// diskFiller fills the disk completely.
type diskFiller struct {
	path string
	end  func()
}

func (*diskFiller) Name() string { return "full disk" }

func (b *diskFiller) Start(_ context.Context, a *testbed, _ *rand.Rand) error {
	a.postgresMu.Lock()
	b.end = a.beginFault(Fault{Nemesis: b.Name(), Down: true})
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

// Heal frees the space. Postgres may have stopped because it could not write WAL; then
// Heal starts it again, as a supervisor would.
func (b *diskFiller) Heal(ctx context.Context, a *testbed) error {
	if b.end == nil {
		return nil
	}
	defer a.postgresMu.Unlock()
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
		sleep(ctx, 100*time.Millisecond)
	}
	return a.restart(ctx)
}
