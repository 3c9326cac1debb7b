package command

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/terminal"
)

// Exit codes, for scripts to tell apart.
const (
	ExitDone     = 0
	ExitFailed   = 1
	ExitUsage    = 2 // the call itself is wrong; repeating it cannot help
	exitNotFound = 3 // no such job, dead job, redrive, task or token
)

// UsageError is a call that is wrong whatever the state of the database.
type UsageError struct {
	error
	unread bool // no command of ours read the line: cobra refused it
}

func (e UsageError) Unwrap() error { return e.error }

// Usage makes err a usage error.
func Usage(err error) error { return UsageError{error: err} }

func Usagef(format string, args ...any) error {
	return UsageError{error: fmt.Errorf(format, args...)}
}

// answered is an error of a command that printed its whole answer. The exit code repeats the
// answer for scripts.
type answered interface {
	error
	Answer() int
}

// ExitCode is the one place where errors become exit codes.
func ExitCode(err error) int {
	var coded answered
	switch {
	case err == nil:
		return ExitDone
	case errors.As(err, &coded):
		return coded.Answer()
	case errors.As(err, &UsageError{}), errors.Is(err, penstock.ErrInvalidArgument):
		return ExitUsage
	case errors.Is(err, penstock.ErrJobNotFound), errors.Is(err, penstock.ErrDeadJobNotFound),
		errors.Is(err, penstock.ErrRedriveNotFound), errors.Is(err, penstock.ErrTaskNotFound),
		errors.Is(err, penstock.ErrTokenNotFound):
		return exitNotFound
	}
	return ExitFailed
}

// Complain writes what failed and what mends it.
func (d *Process) Complain(err error) {
	if err == nil || errors.As(err, new(answered)) { // the answer has been printed
		return
	}
	text := strings.TrimPrefix(terminal.PlainLines(err.Error()), "penstock: ")
	text = strings.ReplaceAll(text, ": penstock: ", ": ")
	fmt.Fprintf(d.Stderr, "%s %s\n", d.ErrScreen.Paint(terminal.Red, "penstock:"), text)
	if advice := remedy(err); advice != "" {
		fmt.Fprintln(d.Stderr, "  "+advice)
	}
}

// remedy is what to do about the errors whose own text does not say it.
func remedy(err error) string {
	var pg *pgconn.PgError
	var refused *pgconn.ConnectError
	var usage UsageError
	var remedied interface{ Remedy() string }
	switch {
	case errors.Is(err, penstock.ErrJobNotFound):
		return "It never existed, or it ended longer ago than jobs are kept."
	case errors.Is(err, penstock.ErrDeadJobNotFound):
		return "`penstock dlq list` shows what is dead, `penstock job get ID` what became of a job."
	case errors.Is(err, penstock.ErrRedriveNotFound):
		return "`penstock dlq redrive status` lists the redrives there were."
	case errors.Is(err, penstock.ErrTaskNotFound):
		return "`penstock task list` lists the tasks there are."
	case errors.As(err, &remedied):
		return remedied.Remedy()
	case errors.Is(err, penstock.ErrTokenNotFound):
		return "`penstock token list` shows the tokens; one that is revoked or expired cannot be used again."
	case errors.Is(err, penstock.ErrOutcomeUnknown):
		return "Run it again with --idempotency-key to be sure of exactly one job."
	case errors.As(err, &pg) && pg.Code == "42501" && !strings.Contains(err.Error(), "penstock grants"):
		return "Let the role in with what `penstock grants ROLE --as producer|worker|operator|reporter` prints."
	case errors.As(err, &pg) && (pg.Code == "28P01" || pg.Code == "28000"):
		return "Check the user and the password in DATABASE_URL."
	case errors.As(err, &pg) && pg.Code == "3D000":
		return "Create the database first, or correct its name in DATABASE_URL."
	case errors.As(err, &refused):
		return "Check that PostgreSQL runs there and that DATABASE_URL names its host and port."
	case errors.As(err, &usage) && usage.unread:
		return "`penstock --help` and `penstock COMMAND --help` show what there is."
	}
	return ""
}
