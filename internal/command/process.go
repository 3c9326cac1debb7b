package command

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/terminal"
)

// Process is what commands get from the process they run in. Tests bring their own.
type Process struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Environ        []string // as os.Environ gives it
	Program        string   // how this program was called, for commands to type next
	Now            func() time.Time
	Interrupts     *interrupts

	Screen    terminal.Screen // how stdout is written to
	ErrScreen terminal.Screen // the same for stderr, and so for logs
	Asks      bool            // a person is there who can answer a question
	Verbose   bool            // say which database is used, also when it was named
	Quiet     bool            // never say it: a shell completes

	started bool // a command of ours was reached: errors from now on are its own
}

// NewProcess is this process: its streams, environment and signals.
func NewProcess() *Process {
	d := &Process{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ(), Program: os.Args[0], Now: time.Now,
		Interrupts: NewInterrupts(),
		Screen:     terminal.ScreenOf(os.Stdout, os.LookupEnv),
		ErrScreen:  terminal.ScreenOf(os.Stderr, os.LookupEnv),
	}
	d.Asks = isatty.IsTerminal(os.Stdin.Fd()) && d.ErrScreen.Terminal
	return d
}

// Group is a command that only holds others: alone it shows them.
func Group(use, short string, members ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: Member,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(members...)
	return cmd
}

// Load reads the settings that the command bound. A wrong setting is a usage error.
func (d *Process) Load(cmd *cobra.Command) (config.Config, error) {
	cfg, err := config.Load(cmd.Flags(), d.Environ)
	if err != nil {
		return cfg, UsageError{error: err}
	}
	return cfg, nil
}

// Variable is the value of an environment variable, empty when it is not set.
func (d *Process) Variable(name string) (value string) {
	for _, pair := range d.Environ {
		if key, v, _ := strings.Cut(pair, "="); key == name {
			value = v
		}
	}
	return value
}

// Run executes one command line of root and returns the process's exit code. It writes
// an error and its remedy to stderr.
func (d *Process) Run(ctx context.Context, root *cobra.Command, args []string) int {
	ctx, stop := d.Interrupts.watch(ctx)
	defer stop()
	root.SetIn(d.Stdin)
	root.SetOut(d.Stdout)
	root.SetErr(d.Stderr)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.PersistentFlags().BoolVarP(&d.Verbose, "verbose", "v", false, "say on stderr which database is used")
	root.PersistentPreRun = func(*cobra.Command, []string) { d.started = true }
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && !d.started {
		err = UsageError{err, true}
	}
	if cause, ok := errors.AsType[interruptedError](context.Cause(ctx)); ok && errors.Is(err, context.Canceled) {
		err = cause // says more than "context canceled", wherever that came from
	}
	d.Complain(err)
	return ExitCode(err)
}
