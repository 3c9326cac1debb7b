// Package config gathers what the command line and the environment say into one
// validated struct. A setting is a field of Config: its tags name the flag, the
// environment variable, the default and what is allowed, and everything else (help
// texts, parsing, error messages) is derived from them.
//
// A flag that was given wins over the environment, which wins over the default. An
// empty variable counts as unset. A command sees only the settings it binds, so a bad
// PENSTOCK_LISTEN never stops `penstock enqueue`.
package config

// Flag names, for Bind.
const (
	DatabaseURL = "database-url"
	Listen      = "listen"
	DataDir     = "data-dir"
	LogLevel    = "log-level"
	LogFormat   = "log-format"
	Demo        = "demo"
	DemoSource  = "demo-source"
)

// Config is every setting of the command line, validated. Settings that the command
// did not bind have their defaults.
type Config struct {
	// DatabaseURL is empty when a private PostgreSQL is to be started instead.
	DatabaseURL DSN `flag:"database-url" env:"DATABASE_URL" type:"url" usage:"PostgreSQL to use; without it a private one is started" want:"postgres://user:password@host:port/database with special characters percent-encoded, or host=… user=… dbname=…"`

	// Listen is host:port. An empty host means every interface, port 0 any free port.
	Listen string `flag:"listen" env:"PENSTOCK_LISTEN" envDefault:"127.0.0.1:8080" type:"host:port" usage:"where to serve HTTP" want:"host:port with a port of 0–65535, such as 127.0.0.1:8080 or :8080"`

	// DataDir holds the private PostgreSQL; empty takes the usual place for the user.
	DataDir string `flag:"data-dir" env:"PENSTOCK_DATA_DIR" type:"dir" usage:"where the private PostgreSQL keeps its data" want:"a directory's path"`

	// LogLevel is debug, info, warn or error.
	LogLevel string `flag:"log-level" env:"PENSTOCK_LOG_LEVEL" envDefault:"info" type:"level" usage:"the least that is logged: debug, info, warn, error" want:"debug, info, warn or error"`

	// LogFormat is auto, console or json; auto is console on a terminal, else json.
	LogFormat string `flag:"log-format" env:"PENSTOCK_LOG_FORMAT" envDefault:"auto" type:"format" usage:"console, json, or auto: console on a terminal" want:"auto, console or json"`

	// Demo makes serve index a Go source tree as jobs; DemoSource is that tree, and
	// empty means GOROOT's.
	Demo       bool   `flag:"demo" env:"PENSTOCK_DEMO" envDefault:"false" type:"bool" usage:"index a tree of Go sources as jobs" want:"true or false"`
	DemoSource string `flag:"demo-source" env:"PENSTOCK_DEMO_SOURCE" type:"dir" usage:"the tree that the demo indexes; GOROOT's when empty" want:"a directory's path"`
}
