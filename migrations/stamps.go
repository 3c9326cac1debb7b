package migrations

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
)

// Stamp is a migration that says "types, functions and views as of here". Only the
// newest one of a binary applies them; older ones do nothing.
type Stamp struct {
	Version       int64
	OldestBinary  int64  // as in the header of a numbered file
	OldestRelease string //
	Released      bool   // a released stamp never changes
	Hash          string // of all files of types, functions and views
}

// StampsFile is the file that lists the stamps.
const StampsFile = "stamps"

var stampLine = regexp.MustCompile(`^(\d+) serves binaries from schema (\d+) \((v\d+\.\d+\.\d+)\) (released|unreleased) ([0-9a-f]{64}|-)$`)

// Stamps reads the stamps of files, oldest first; none where there is no such file.
func Stamps(files fs.FS) ([]Stamp, error) {
	text, err := fs.ReadFile(files, StampsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the stamps: %w", err)
	}
	var stamps []Stamp
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := stampLine.FindStringSubmatch(line)
		if parts == nil {
			return nil, fmt.Errorf("stamps: cannot read %q: the form is `00002 serves binaries from schema N (vX.Y.Z) unreleased HASH`", line)
		}
		s := Stamp{OldestRelease: parts[3], Released: parts[4] == "released", Hash: parts[5]}
		s.Version, _ = strconv.ParseInt(parts[1], 10, 64) // digits
		s.OldestBinary, _ = strconv.ParseInt(parts[2], 10, 64)
		if s.OldestBinary > s.Version {
			return nil, fmt.Errorf("stamp %d: it cannot serve binaries from schema %d only, which do not exist yet", s.Version, s.OldestBinary)
		}
		if n := len(stamps); n > 0 && stamps[n-1].Version >= s.Version {
			return nil, fmt.Errorf("stamp %d: its number must be above %d", s.Version, stamps[n-1].Version)
		}
		stamps = append(stamps, s)
	}
	return stamps, nil
}

func (s Stamp) String() string {
	state := "unreleased"
	if s.Released {
		state = "released"
	}
	return fmt.Sprintf("%05d serves binaries from schema %d (%s) %s %s", s.Version, s.OldestBinary, s.OldestRelease, state, s.Hash)
}

// HashOf is the hash of all objects, comments included, that a stamp carries.
func HashOf(objects []Object) string {
	sum := sha256.New()
	for _, o := range objects {
		fmt.Fprintf(sum, "%s\x00%s\x00%s\x00%s\x00", o.File, o.Signature, o.Comment, o.Source)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// CheckStamps returns an error that says what to do when the newest stamp is not of
// these files.
func CheckStamps(files fs.FS) error {
	stamps, err := Stamps(files)
	if err != nil {
		return err
	}
	objects, err := Objects(files)
	if err != nil {
		return err
	}
	if len(stamps) == 0 {
		if len(objects) == 0 {
			return nil
		}
		return errors.New("stamps: there is none, and so nothing applies types, functions and views: run `make gen`")
	}
	newest := stamps[len(stamps)-1]
	if newest.Hash == HashOf(objects) {
		return nil
	}
	if newest.Released {
		return fmt.Errorf("stamps: files of types, functions or views changed since stamp %d, which is released: run `make gen`, which adds a stamp", newest.Version)
	}
	return fmt.Errorf("stamps: files of types, functions or views changed since stamp %d was written: run `make gen`, which writes their hash into it", newest.Version)
}

// Restamp returns the text of the stamps file brought up to date with files: the newest
// stamp gets the new hash, or, when it is released, a new stamp follows it. newest is
// the number of the newest migration there is.
func Restamp(files fs.FS, newest int64) (string, error) {
	text, err := fs.ReadFile(files, StampsFile)
	if err != nil {
		return "", err
	}
	if CheckStamps(files) == nil {
		return string(text), nil
	}
	stamps, err := Stamps(files)
	if err != nil {
		return "", err
	}
	objects, err := Objects(files)
	if err != nil {
		return "", err
	}
	if len(stamps) == 0 {
		return "", errors.New("stamps: add the first line by hand: `00002 serves binaries from schema 1 (v0.1.0) unreleased -`")
	}
	last := stamps[len(stamps)-1]
	if last.Released {
		added := Stamp{max(newest, last.Version) + 1, last.OldestBinary, last.OldestRelease, false, HashOf(objects)}
		return strings.TrimRight(string(text), "\n") + "\n" + added.String() + "\n", nil
	}
	changed := last
	changed.Hash = HashOf(objects)
	return strings.Replace(string(text), last.String(), changed.String(), 1), nil
}
