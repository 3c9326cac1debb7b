package maintain

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // a process in a bare container can keep any schedule

	"github.com/netresearch/go-cron"
)

const (
	mostSchedule = 200 // bytes, as is
	mostZone     = 64
	mostInterval = 366 * 24 * time.Hour
	// searchYears is how far ahead a schedule must fall due: every leap day does, even
	// across 2100. What is further away never comes.
	searchYears = 9
	// mostStretches is more than any zone has in those years.
	mostStretches = 100
)

// Schedule says when a task is due. It is one of
//
//	30 2 * * *        cron: minute, hour, day of month, month, day of week
//	*/10 * * * * *    the same, with seconds before
//	@hourly @daily @weekly @monthly @yearly
//	@every 90s        at whole multiples of the interval since 1970, 1 s to 366 days
//
// A day must match the day of month or the day of week when both are restricted.
//
// Cron counts by the clock on the wall of its time zone. Where that clock is put
// forward, a time that is left out is made up for at the moment the gap ends, once.
// Where it is put back, what has a fixed hour runs the first time only; a schedule of
// every hour (* * * * *) goes on through both, as its minutes really pass.
type Schedule struct {
	text      string
	zone      *time.Location
	wall      cron.Schedule // on clocks that read as UTC; nil: every
	everyHour bool
	every     time.Duration
}

var parser = cron.MustNewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow |
	cron.Descriptor | cron.DowOrDom).WithMaxSearchYears(searchYears)

// ParseSchedule reads a schedule in an IANA time zone. It refuses what never falls due.
func ParseSchedule(text, zone string) (s *Schedule, err error) {
	defer func() { // the texts come from anyone
		if r := recover(); r != nil {
			s, err = nil, errors.New("it cannot be read")
		}
	}()
	s = &Schedule{text: text}
	if s.zone, err = loadZone(zone); err != nil {
		return nil, err
	}
	if len(text) > mostSchedule {
		return nil, fmt.Errorf("it is longer than %d characters", mostSchedule)
	}
	if strings.Contains(text, "=") {
		return nil, errors.New("the time zone is a setting of its own")
	}
	parsed, err := parser.Parse(strings.TrimSpace(text))
	if err != nil {
		return nil, err
	}
	switch p := parsed.(type) {
	case cron.ConstantDelaySchedule:
		if p.Delay > mostInterval {
			return nil, errors.New("@every takes 1s to 8784h")
		}
		s.every = p.Delay
	case *cron.SpecSchedule:
		const allHours = 1<<24 - 1
		p.Location = time.UTC
		s.wall, s.everyHour = p, p.Hour&allHours == allHours
	default:
		return nil, errors.New("it cannot be read")
	}
	if s.Next(time.Now()).IsZero() {
		return nil, errors.New("it never falls due")
	}
	return s, nil
}

// loadZone is time.LoadLocation without the names that mean the machine's own zone.
func loadZone(name string) (*time.Location, error) {
	if name == "" || name == "Local" || len(name) > mostZone {
		return nil, errors.New("the time zone must be a name such as UTC or Europe/Berlin")
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("there is no time zone %q", name)
	}
	return zone, nil
}

// Next is the first moment after t at which the schedule is due; zero when there is
// none in the years looked at.
func (s *Schedule) Next(t time.Time) time.Time {
	if s.every > 0 {
		since := t.Sub(time.Unix(0, 0))
		return time.Unix(0, 0).Add(since - since%s.every + s.every).UTC()
	}
	// Within a stretch of one offset the wall clock runs evenly, so that is where cron
	// looks; what lies between two stretches is decided here.
	end, offset := stretch(t, s.zone)
	due := s.wall.Next(wallOf(t, offset))
	for n := 0; !due.IsZero() && !end.IsZero() && !due.Before(wallOf(end, offset)); n++ {
		if n == mostStretches {
			return time.Time{}
		}
		start := end
		end, offset = stretch(start, s.zone)
		switch reads := wallOf(start, offset); {
		case s.everyHour:
			due = s.wall.Next(reads.Add(-1))
		case due.Before(reads): // in the gap
			return start.UTC()
		}
	}
	if due.IsZero() {
		return time.Time{}
	}
	return due.Add(-offset)
}

// stretch is the zone's offset at t and until when it holds at least; end is zero when
// it never changes. It may end where nothing changes: beyond a zone's table
// ZoneBounds ends at every year, and on the last day of a leap year before t.
func stretch(t time.Time, zone *time.Location) (end time.Time, offset time.Duration) {
	local := t.In(zone)
	_, end = local.ZoneBounds()
	_, seconds := local.Zone()
	if !end.IsZero() && !end.After(t) {
		end = t.Add(24 * time.Hour)
	}
	return end, time.Duration(seconds) * time.Second
}

// wallOf is what the clock on the wall reads at t, as a time in UTC.
func wallOf(t time.Time, offset time.Duration) time.Time { return t.UTC().Add(offset) }
