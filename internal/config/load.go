package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"github.com/caarlos0/env/v11"
	"github.com/spf13/pflag"
)

// setting is a field of Config as its tags describe it.
type setting struct {
	field, flag, env, fallback, kind, usage, want string
}

// settings lists every field of Config, in the struct's order.
var settings = func() (all []setting) {
	for field := range reflect.TypeFor[Config]().Fields() {
		tag := field.Tag.Get
		all = append(all, setting{field.Name, tag("flag"), tag("env"), tag("envDefault"), tag("type"), tag("usage"), tag("want")})
	}
	return all
}()

// Bind adds a flag for each named setting to flags, all of them when none is named.
// It panics on a name that Config does not have.
func Bind(flags *pflag.FlagSet, names ...string) {
	known := map[string]bool{}
	for _, s := range settings {
		known[s.flag] = true
		if len(names) > 0 && !slices.Contains(names, s.flag) {
			continue
		}
		value := &flagValue{text: s.fallback, kind: s.kind}
		flag := flags.VarPF(value, s.flag, "", fmt.Sprintf("%s (%s)", s.usage, s.env))
		if s.kind == "bool" {
			flag.NoOptDefVal = "true"
		}
	}
	for _, name := range names {
		if !known[name] {
			panic(fmt.Sprintf("config: no setting is called %q", name))
		}
	}
}

// Load reads the settings that Bind added to flags, from flags and environ (as
// os.Environ gives it), and validates them. Its error has a line per setting that is
// wrong, with flag, variable and what is allowed.
func Load(flags *pflag.FlagSet, environ []string) (Config, error) {
	given := env.ToMap(environ)
	maps.DeleteFunc(given, func(_, value string) bool { return value == "" })
	values := map[string]string{}
	for _, s := range settings {
		flag := flags.Lookup(s.flag)
		if flag == nil {
			continue
		}
		if value, ok := given[s.env]; ok {
			values[s.env] = value
		}
		if flag.Changed {
			values[s.env] = flag.Value.String()
		}
	}

	var c Config
	err := env.ParseWithOptions(&c, env.Options{Environment: values})
	mistyped, err := mistypedFields(err)
	if err != nil {
		return Config{}, fmt.Errorf("read the configuration: %w", err)
	}
	if err := c.validate(values, mistyped); err != nil {
		return Config{}, err
	}
	return c, nil
}

// mistypedFields returns the fields whose text is not of their type, and err itself
// when it says anything else.
func mistypedFields(err error) ([]string, error) {
	aggregate, _ := errors.AsType[env.AggregateError](err)
	var fields []string
	for _, e := range aggregate.Errors {
		parse, ok := errors.AsType[env.ParseError](e)
		if !ok {
			return nil, err
		}
		fields = append(fields, parse.Name)
	}
	if len(fields) == 0 {
		return nil, err
	}
	return fields, nil
}

// refuse says what is wrong with the setting. A connection string is never repeated:
// it may hold a password, and a malformed one cannot be redacted with certainty.
func (s setting) refuse(values map[string]string) error {
	value := strconv.Quote(values[s.env])
	if s.flag == DatabaseURL {
		value = "what it holds (not repeated here)"
	}
	return fmt.Errorf("--%s or %s: %s will not do; give %s", s.flag, s.env, value, s.want)
}

// flagValue keeps a flag's text for Load, which parses flags and variables alike.
type flagValue struct {
	text, kind string
}

func (v *flagValue) String() string        { return v.text }
func (v *flagValue) Set(text string) error { v.text = text; return nil }
func (v *flagValue) Type() string          { return v.kind }

// Shown is a setting as `config print` shows it.
type Shown struct {
	Flag   string `json:"flag"`
	Env    string `json:"env"`
	Value  string `json:"value"`  // secrets hidden
	Source string `json:"source"` // flag, environment or default
}

// Show lists the settings that Bind added to flags, in Config's order, with where each
// came from. c is what Load made of flags and environ.
func Show(c Config, flags *pflag.FlagSet, environ []string) (all []Shown) {
	given := env.ToMap(environ)
	fields := reflect.ValueOf(c)
	for _, s := range settings {
		flag := flags.Lookup(s.flag)
		if flag == nil {
			continue
		}
		shown := Shown{s.flag, s.env, fmt.Sprint(fields.FieldByName(s.field).Interface()), "default"}
		switch {
		case flag.Changed:
			shown.Source = "flag"
		case given[s.env] != "":
			shown.Source = "environment"
		}
		all = append(all, shown)
	}
	return all
}
