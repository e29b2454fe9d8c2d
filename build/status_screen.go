package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/status"

	"golang.org/x/term"
)

// What a terminal is told. The screen is another one than that of the shell, which comes back at the end as it was; lines that
// are too long are cut off, and do not push others down; and a frame is shown when all of it is there, where a terminal knows
// how.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	leaveScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	beginFrame  = "\x1b[?2026h\x1b[H"
	beginLine   = "\x1b[K" // what was there goes; behind a line that fills the width it would take its last character
	endFrame    = "\x1b[?2026l"
)

// screen is a report in a terminal, drawn again and again.
type screen struct {
	view     view
	out      *os.File
	ask      func(context.Context) (status.Report, error)
	interval time.Duration
}

// answer is what came of asking the server.
type answer struct {
	report status.Report
	err    error
}

// run shows first, and then what the server says every interval, until ctx is done or somebody presses q or Ctrl-C. It returns
// the status of what was shown last, with the terminal as it was before.
func (s *screen) run(ctx context.Context, first status.Report) (exitStatus, error) {
	asking, cancel := context.WithCancel(ctx)
	answers := make(chan answer, 1)
	idle := true // the server is not being asked
	defer func() {
		cancel()
		if !idle {
			<-answers
		}
	}()
	pressed, restore := readKeys()
	defer restore()
	resized, ignore := watchSize()
	defer ignore()
	if _, err := io.WriteString(s.out, enterScreen); err != nil {
		return statusUnknown, err
	}
	defer io.WriteString(s.out, leaveScreen)
	next := time.NewTimer(s.interval)
	last := answer{report: first}
	for {
		if err := s.draw(last); err != nil {
			return statusUnknown, err
		}
		select {
		case <-ctx.Done():
			return last.status(), nil
		case key := <-pressed:
			switch key {
			case 'q', 'Q', '\x03':
				return last.status(), nil
			case 'r', 'R':
				next.Reset(0)
			}
		case <-resized:
		case <-next.C:
			if idle {
				idle = false
				go func() {
					r, err := s.ask(asking)
					answers <- answer{r, err}
				}()
			}
		case a := <-answers:
			idle = true
			if a.err != nil { // what was last known stays
				a.report = last.report
			}
			last = a
			next.Reset(s.interval)
		}
	}
}

func (a answer) status() exitStatus {
	if a.err != nil {
		return statusUnknown
	}
	return reported(a.report)
}

// draw draws one frame, in one write.
func (s *screen) draw(a answer) error {
	v := s.view
	if width, height, err := term.GetSize(int(s.out.Fd())); err == nil && width > 0 && height > 0 {
		v.width, v.height = width, height
	} else {
		v.width, v.height = 80, 24
	}
	v.footer = fmt.Sprintf("every %s; q ends, r asks at once", s.interval)
	if a.err != nil {
		v.trouble = fmt.Sprintf("What is below is old: %v", a.err)
	}
	frame := beginFrame + beginLine + strings.Join(v.draw(a.report), "\r\n"+beginLine) + endFrame
	_, err := io.WriteString(s.out, frame)
	return err
}

// readKeys takes keys from the terminal one by one, and does not let it show them. Where there is no terminal to read from there
// are no keys. restore undoes it.
func readKeys() (pressed <-chan byte, restore func()) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, func() {}
	}
	before, err := onDescriptor(tty, term.MakeRaw)
	if err != nil {
		tty.Close()
		return nil, func() {}
	}
	keys, ended := make(chan byte), make(chan struct{})
	reading, stop := context.WithCancel(context.Background())
	go func() {
		defer close(ended)
		for b := make([]byte, 1); ; {
			if _, err := tty.Read(b); err != nil {
				return
			}
			select {
			case keys <- b[0]:
			case <-reading.Done():
				return
			}
		}
	}()
	return keys, func() {
		stop()
		if tty.SetReadDeadline(time.Unix(1, 0)) == nil { // else the goroutine ends with the process
			<-ended
		}
		onDescriptor(tty, func(fd int) (any, error) { return nil, term.Restore(fd, before) })
		tty.Close()
	}
}

// onDescriptor does something to the descriptor of f, which File.Fd would take away from those who can be told to stop reading.
func onDescriptor[T any](f *os.File, do func(fd int) (T, error)) (result T, err error) {
	c, err := f.SyscallConn()
	if err != nil {
		return result, err
	}
	if failed := c.Control(func(fd uintptr) { result, err = do(int(fd)) }); failed != nil {
		err = failed
	}
	return result, err
}
