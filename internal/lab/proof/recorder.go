package proof

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// recorder appends a process's events to its file. Each event is one write: a kill
// loses no written event and cuts at most the last line.
type recorder struct {
	process int

	mu   sync.Mutex
	file *os.File
	err  error // the first; an incomplete history proves nothing
}

func openRecorder(dir string, process int) (*recorder, error) {
	file, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("%06d.jsonl", process)), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the history: %w", err)
	}
	return &recorder{process: process, file: file}, nil
}

// write records an event with the time and the process.
func (r *recorder) write(e Event) {
	e.Process = r.process
	r.mu.Lock()
	defer r.mu.Unlock()
	e.At = time.Now().UTC()
	line, err := json.Marshal(e)
	if err == nil {
		_, err = r.file.Write(append(line, '\n'))
	}
	if err != nil && r.err == nil {
		r.err = err
		fmt.Fprintln(os.Stderr, "proof: write the history:", err)
		os.Exit(exitHistory) // the run cannot be judged without it
	}
}

// exitHistory is the exit code of a process that could not write its history.
const exitHistory = 7

// readHistories calls each for every event in dir, one process after another, in the
// order of writing. A last line that a kill cut off is ignored; any other invalid line
// is an error.
func readHistories(dir string, each func(Event)) error {
	names, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return fmt.Errorf("find the histories: %w", err)
	}
	for _, name := range names {
		if err := readHistory(name, each); err != nil {
			return fmt.Errorf("read the history %s: %w", filepath.Base(name), err)
		}
	}
	return nil
}

func readHistory(name string, each func(Event)) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 4<<20)
	var broken error
	for lines.Scan() {
		if broken != nil {
			return broken
		}
		var e Event
		if broken = json.Unmarshal(lines.Bytes(), &e); broken == nil {
			each(e)
		}
	}
	return lines.Err()
}
