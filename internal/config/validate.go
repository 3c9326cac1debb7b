package config

import (
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// checks says, by flag, which values are allowed beyond being of their type; the
// setting's want tag says the same in words.
var checks = map[string]func(Config) bool{
	DatabaseURL: func(c Config) bool { return c.DatabaseURL == "" || c.DatabaseURL.readable() },
	Listen:      func(c Config) bool { return isListenAddress(c.Listen) },
	AdminListen: func(c Config) bool { return c.AdminListen == "" || isListenAddress(c.AdminListen) },
	TLSCert:     func(c Config) bool { return isPath(c.TLSCert) && (c.TLSCert == "") == (c.TLSKey == "") },
	TLSKey:      func(c Config) bool { return isPath(c.TLSKey) && (c.TLSCert == "") == (c.TLSKey == "") },
	TokenRate:   func(c Config) bool { return 1 <= c.TokenRate && c.TokenRate <= 1_000_000 },
	MaxDepth:    func(c Config) bool { return 0 <= c.MaxDepth && c.MaxDepth <= 10_000_000 },
	Announce:    func(c Config) bool { return 0 <= c.Announce && c.Announce <= time.Minute },
	DataDir:     func(c Config) bool { return isPath(c.DataDir) },
	LogLevel:    func(c Config) bool { return slices.Contains([]string{"debug", "info", "warn", "error"}, c.LogLevel) },
	LogFormat:   func(c Config) bool { return slices.Contains([]string{"auto", "console", "json"}, c.LogFormat) },
}

// validate checks the settings that were given; defaults are right by construction.
// Its error has a line per setting that is wrong.
func (c Config) validate(values map[string]string, mistyped []string) error {
	var refused []error
	for _, s := range settings {
		if _, given := values[s.env]; !given {
			continue
		}
		check := checks[s.flag]
		if slices.Contains(mistyped, s.field) || check != nil && !check(c) {
			refused = append(refused, s.refuse(values))
		}
	}
	return errors.Join(refused...)
}

func isListenAddress(text string) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil || strings.ContainsAny(host, " /\\") {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

func isPath(text string) bool { return !strings.ContainsRune(text, 0) }
