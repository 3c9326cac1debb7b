// Package mutate removes Penstock's guards one at a time, and runs a proof of each
// mutant under the fault that the guard is for. It fails if a proof does not notice.
// `make proof-mutants` runs it.
//
// A guard in SQL is removed from the proof's own database. A guard in Go is removed in
// a build with an overlay; no file of the checkout changes.
package mutate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/penstock/penstock/internal/lab/proof"
)

// Options say which mutants to prove and how.
type Options struct {
	Duration time.Duration // of each proof
	Seed     uint64        // of each proof
	Only     []string      // the mutants to prove; empty: all
}

// Run proves each mutant and writes a line for it to out. It needs the go command and runs at
// the root of the checkout. Errors: a mutant that there is not, one that could not be built or
// proved, and those that nothing noticed.
func Run(ctx context.Context, o Options, out io.Writer) error {
	for _, name := range o.Only {
		if !slices.ContainsFunc(proof.Mutants, func(m proof.Mutant) bool { return m.Name == name }) {
			return fmt.Errorf("there is no mutant %q: `penstock-lab proof --list` names them", name)
		}
	}
	dir, err := os.MkdirTemp("", "penstock-mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	sound := filepath.Join(dir, "penstock-lab")
	if err := build(ctx, sound, ""); err != nil {
		return err
	}
	var alive []string
	for _, m := range proof.Mutants {
		if len(o.Only) > 0 && !slices.Contains(o.Only, m.Name) {
			continue
		}
		caught, err := prove(ctx, m, dir, sound, o.Duration, o.Seed)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		fmt.Fprintf(out, "%-36s %s\n", m.Name, caught)
		if caught == "" {
			alive = append(alive, m.Name)
		}
	}
	if len(alive) > 0 {
		return fmt.Errorf("no proof noticed that these guards were removed: %s", strings.Join(alive, ", "))
	}
	return nil
}

// prove returns the first violation that a proof of the mutant found, or an empty
// string.
func prove(ctx context.Context, m proof.Mutant, dir, sound string, duration time.Duration, seed uint64) (string, error) {
	if m.Rare {
		duration *= 3
	}
	program := sound
	args := []string{"proof", "--duration", duration.String(), "--lease", "3s", "--seed", fmt.Sprint(seed), "--jobs", fmt.Sprint(int(duration.Seconds() * 500)), "--keep", filepath.Join(dir, "histories", m.Name)}
	if m.File != "" {
		overlay, err := mutated(m, dir)
		if err != nil {
			return "", err
		}
		program = filepath.Join(dir, "mutant")
		if err := build(ctx, program, overlay); err != nil {
			return "", err
		}
	} else {
		args = append(args, "--mutant", m.Name)
	}
	nemesis := m.Nemesis
	if nemesis == "" {
		nemesis = "second end" // breaks nothing
	}
	cmd := exec.CommandContext(ctx, program, append(args, "--nemesis", nemesis)...)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return "", err
	}
	_, found, broken := strings.Cut(out.String(), "\n**")
	switch {
	case err == nil:
		return "", nil
	case !broken:
		return "", fmt.Errorf("the proof could not be made: %s", bytes.TrimSpace(complaints.Bytes()))
	}
	line, _, _ := strings.Cut(found, "\n")
	return "caught: " + strings.Replace(line, "**", "", 1), nil
}

// mutated writes an overlay that has the file without its guard, and returns the
// overlay's path.
func mutated(m proof.Mutant, dir string) (string, error) {
	source, err := os.ReadFile(m.File)
	if err != nil {
		return "", fmt.Errorf("run this at the root of the checkout: %w", err)
	}
	if n := strings.Count(string(source), m.Guard); n != 1 {
		return "", fmt.Errorf("%s has its guard %q %d times, not once", m.File, m.Guard, n)
	}
	replaced := filepath.Join(dir, m.File)
	if err := os.WriteFile(replaced, []byte(strings.Replace(string(source), m.Guard, m.Instead, 1)), 0o600); err != nil {
		return "", err
	}
	original, err := filepath.Abs(m.File)
	if err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {original: replaced}})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, overlay, 0o600)
}

func build(ctx context.Context, program, overlay string) error {
	args := []string{"build", "-o", program}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	out, err := exec.CommandContext(ctx, "go", append(args, "./cmd/penstock-lab")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build: %w: %s", err, out)
	}
	return nil
}
