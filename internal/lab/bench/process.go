package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime/metrics"
	"strconv"
)

// residentBytes returns the memory of this process: what Linux counts as resident;
// elsewhere what the Go runtime has from the system.
func residentBytes() (uint64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if errors.Is(err, os.ErrNotExist) {
		samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
		metrics.Read(samples)
		return samples[0].Value.Uint64() - samples[1].Value.Uint64(), nil
	}
	if err != nil {
		return 0, fmt.Errorf("read how much memory this process has: %w", err)
	}
	fields := bytes.Fields(text) // in pages: size, resident, …
	if len(fields) < 2 {
		return 0, fmt.Errorf("read how much memory this process has: /proc/self/statm says %q", text)
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	return pages * uint64(os.Getpagesize()), err
}
