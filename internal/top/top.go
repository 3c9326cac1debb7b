// Package top is a live view of the queues in a terminal: what waits, runs, fails and
// is dead, which workers are there, and what an operator would do about it at once:
// pause a queue, resume it, look into its dead letter queue, redrive a job.
//
// It reads through the library as any program could, one read at a time, every two
// seconds, and health, which costs more, every ten. While Postgres does not answer the last state stays on the screen, marked
// as old, and the next read is tried as usual.
package top

import (
	"context"
	"io"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/penstock/penstock"
)

// Options sets up Run.
type Options struct {
	Client      *penstock.Client
	Where       string        // which database, for the first line; without its password
	Every       time.Duration // between reads; 0: 2 s
	HealthEvery time.Duration // between reads of health; 0: 10 s
	In          io.Reader     // a terminal
	Out         io.Writer     // a terminal
	Environ     []string      // TERM, NO_COLOR …
	Width       int           // of the screen to begin with; 0: the terminal's
	Height      int
}

// Run shows the view until the user quits or ctx ends; both return nil.
func Run(ctx context.Context, o Options) error {
	if o.Every == 0 {
		o.Every = 2 * time.Second
	}
	if o.HealthEvery == 0 {
		o.HealthEvery = 10 * time.Second
	}
	options := []tea.ProgramOption{tea.WithInput(o.In), tea.WithOutput(o.Out), tea.WithEnvironment(o.Environ), tea.WithoutSignalHandler()}
	if o.Width > 0 {
		options = append(options, tea.WithWindowSize(o.Width, o.Height))
	}
	program := tea.NewProgram(newModel(ctx, o), options...)
	defer context.AfterFunc(ctx, program.Quit)()
	_, err := program.Run()
	return err
}
