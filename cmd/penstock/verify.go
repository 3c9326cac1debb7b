package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/terminal"
)

func newVerify(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove that every job is accounted for, and name what does not add up",
		Long: `Prove over the whole database, in one snapshot and while workers run, that every job
kept is in exactly one place (waiting, running, dead, departed, finished) and that
attempts, redrives, idempotency keys, partitions and indexes agree. It takes some
seconds per million jobs; while it reads, vacuum can remove nothing.

Exit code 0: everything adds up; 1: something does not, and it says what to do.`,
		Args: command.Arguments,
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, _ []string, asJSON bool) error {
		shown := terminal.NewProgress(d.Stderr, d.ErrScreen, d.Now, 0)
		v, err := client.Verify(ctx, func(done, total int64) {
			shown.Total = max(total, done) // an estimate
			if total == 0 {
				shown.Total = 0
			}
			shown.Show(done, "verified", "")
		})
		shown.Clear()
		if err != nil {
			return err
		}
		return writeVerification(d, d.Stdout, v, asJSON)
	})
}

func writeVerification(d *deps, out io.Writer, v penstock.Verification, asJSON bool) error {
	findings := v.Findings()
	var verdict error
	if len(findings) > 0 {
		verdict = fmt.Errorf("verify: %d of %d checks found what does not add up", len(findings), len(v.Checks))
	}
	if asJSON {
		if err := terminal.WriteJSON(out, v); err != nil {
			return err
		}
		return verdict
	}
	if verdict == nil {
		_, err := fmt.Fprintf(out, "Everything adds up: %s, each in exactly one place; %d checks over one snapshot, of %s.\n",
			terminal.Plural(v.Jobs, "job"), len(v.Checks), v.TakenAt.Format(time.RFC3339))
		return err
	}
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%s  %s of %s checked\n", d.Screen.Paint(terminal.Red, f.Code), terminal.Thousands(f.Found), terminal.Thousands(f.Checked))
		fmt.Fprintf(&b, "%s\n", terminal.Paragraph(terminal.Plain(f.Meaning), d.Screen.Width, 2))
		more := ""
		if f.Found > int64(len(f.Examples)) {
			more = " …"
		}
		fmt.Fprintf(&b, "  %s %s%s\n", d.Screen.Paint(terminal.Faint, "such as"), terminal.Plain(strings.Join(f.Examples, ", ")), more)
		fmt.Fprintf(&b, "  %s %s\n\n", d.Screen.Paint(terminal.Faint, "to do"), terminal.Hanging(terminal.Plain(f.Remedy), d.Screen.Width, len("  to do ")))
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return err
	}
	return verdict
}
