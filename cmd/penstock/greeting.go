package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/penstock/penstock/internal/lab/demo"
	"github.com/penstock/penstock/internal/postgres"
)

// greet says where the server is, what it stands on, and what to type next.
func (s *server) greet(ctx context.Context) error {
	out, screen := s.d.stdout, s.d.screen
	version, err := (postgres.Migrator{Pool: s.pool}).Version(ctx)
	if err != nil {
		return err
	}
	schema := fmt.Sprintf("version %d", version)
	if n := len(s.applied); n > 0 {
		schema += fmt.Sprintf(", %d migrations applied just now", n)
	}
	var about facts
	about.add("serving", cell{text: s.url, colour: green})
	if s.admin != nil {
		about.add("admin", cell{text: s.baseURL(s.admin.Addr()), colour: green})
	}
	about.add("database", text(s.whichDatabase()))
	about.add("schema", text(schema))
	fmt.Fprintf(out, "%s %s\n", screen.paint(bold, "penstock"), buildVersion())
	if err := about.write(out, screen, "  "); err != nil || s.cfg.Demo {
		return err // the demo has a story of its own, which ends with what to type next
	}

	me := s.d.program
	next := [][2]string{
		{"add a job", me + ` enqueue hello greet '{"name":"world"}'`},
		{"work it with any command", me + " work --queue hello --drain -- cat"},
		{"see what became of it", me + " job get ID"},
	}
	if s.url != "" {
		next = append(next, [2]string{"is the server well", "curl " + s.url + "/healthz"})
	}
	if s.cfg.DataDir != "" && s.cfg.DatabaseURL == "" {
		next = append([][2]string{{"where the commands find this server", "export PENSTOCK_DATA_DIR=" + shellQuote(s.cfg.DataDir)}}, next...)
	}
	if url := s.psqlURL(); url != "" {
		next = append(next, [2]string{"everything is SQL", "psql " + url + ` -c "SELECT penstock.enqueue('hello', 'greet')"`})
	}
	fmt.Fprintln(out, "\nWhat to type next, in another terminal:")
	for _, line := range next {
		fmt.Fprintf(out, "  %s\n  %s\n", screen.paint(faint, "# "+line[0]), line[1])
	}
	_, err = fmt.Fprintln(out, "\nctrl-C stops the server; jobs stay.")
	return err
}

func (s *server) whichDatabase() string {
	if s.database.Server != nil {
		return "a private " + s.database.Server.String()
	}
	if shown := s.cfg.DatabaseURL.String(); shown != "" {
		return shown
	}
	return "DATABASE_URL"
}

// psqlURL is the database as psql takes it in a shell, without printing a password.
func (s *server) psqlURL() string {
	if s.database.Server != nil {
		return shellQuote(s.database.URL)
	}
	return `"$DATABASE_URL"`
}

func (s *server) demoOptions() demo.Options {
	opts := demo.Options{Source: s.cfg.DemoSource, Command: s.d.program, BaseURL: s.url}
	if s.database.Server != nil {
		opts.DatabaseURL = s.database.URL
	}
	if s.cfg.DataDir != "" && s.cfg.DatabaseURL == "" {
		opts.Setup = "export PENSTOCK_DATA_DIR=" + shellQuote(s.cfg.DataDir)
	}
	if file, ok := s.d.stdout.(*os.File); ok && s.d.screen.terminal {
		opts.Width = func() int { return terminalWidth(file) }
	}
	return opts
}

// shellQuote makes one word of text for a POSIX shell.
func shellQuote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
