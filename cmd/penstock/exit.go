package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock"
)

// Exit codes, for scripts to tell apart.
const (
	exitDone     = 0
	exitFailed   = 1
	exitUsage    = 2 // the call itself is wrong; repeating it cannot help
	exitNotFound = 3 // no such job, dead job, redrive, task or token

	// Of penstock health, whose answer is on stdout then.
	exitWarning  = 1
	exitCritical = 2
)

// usageError is a call that is wrong whatever the state of the database.
type usageError struct {
	error
	unread bool // no command of ours read the line: cobra refused it
}

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return usageError{error: fmt.Errorf(format, args...)}
}

// exitCode is the one place where errors become exit codes.
func exitCode(err error) int {
	var sick unwell
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &sick): // as monitoring systems read it
		if sick.status == penstock.StatusCritical {
			return exitCritical
		}
		return exitWarning
	case errors.As(err, &usageError{}), errors.Is(err, penstock.ErrInvalidArgument):
		return exitUsage
	case errors.Is(err, penstock.ErrJobNotFound), errors.Is(err, penstock.ErrDeadJobNotFound),
		errors.Is(err, penstock.ErrRedriveNotFound), errors.Is(err, penstock.ErrTaskNotFound),
		errors.Is(err, penstock.ErrTokenNotFound):
		return exitNotFound
	}
	return exitFailed
}

// complain writes what failed and what mends it.
func (d *deps) complain(err error) {
	if err == nil || errors.As(err, new(unwell)) { // what is wrong has been printed
		return
	}
	text := strings.TrimPrefix(plainLines(err.Error()), "penstock: ")
	text = strings.ReplaceAll(text, ": penstock: ", ": ")
	fmt.Fprintf(d.stderr, "%s %s\n", d.errScreen.paint(red, "penstock:"), text)
	if advice := remedy(err); advice != "" {
		fmt.Fprintln(d.stderr, "  "+advice)
	}
}

// remedy is what to do about the errors whose own text does not say it.
func remedy(err error) string {
	var pg *pgconn.PgError
	var refused *pgconn.ConnectError
	var usage usageError
	switch {
	case errors.Is(err, penstock.ErrJobNotFound):
		return "It never existed, or it ended longer ago than jobs are kept."
	case errors.Is(err, penstock.ErrDeadJobNotFound):
		return "`penstock dlq list` shows what is dead, `penstock job get ID` what became of a job."
	case errors.Is(err, penstock.ErrRedriveNotFound):
		return "`penstock dlq redrive status` lists the redrives there were."
	case errors.Is(err, penstock.ErrTaskNotFound):
		return "`penstock task list` lists the tasks there are."
	case errors.Is(err, errNoTokens):
		return "Make the first token, which is shown once: penstock token create NAME --role admin\n" +
			"  In a container: docker run --rm -e DATABASE_URL=… penstock token create NAME --role admin\n" +
			"  Or listen on loopback only, where none is asked for: --listen 127.0.0.1:8080"
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
