package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tty is a terminal whose other end is a test: what is written to it arrives at screen, and keys are written to it there.
type tty struct {
	screen *os.File // the other end
	device *os.File
}

func openTTY(t *testing.T, columns, lines uint16) tty {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	n, err := onDescriptor(screen, func(fd int) (int, error) {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return 0, err
		}
		return unix.IoctlGetInt(fd, unix.TIOCGPTN)
	})
	if err != nil {
		t.Fatal(err)
	}
	device, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { device.Close() })
	c := tty{screen, device}
	c.resize(t, columns, lines)
	return c
}

// resize makes the terminal another size, of which the kernel tells whoever runs in it.
func (c tty) resize(t *testing.T, columns, lines uint16) {
	t.Helper()
	_, err := onDescriptor(c.screen, func(fd int) (any, error) {
		return nil, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: lines, Col: columns})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// modes is whether the terminal shows what is typed, waits for whole lines, and so on.
func (c tty) modes(t *testing.T) unix.Termios {
	t.Helper()
	m, err := onDescriptor(c.device, func(fd int) (*unix.Termios, error) { return unix.IoctlGetTermios(fd, unix.TCGETS) })
	if err != nil {
		t.Fatal(err)
	}
	return *m
}

// until reads what is written to the terminal until it matches, and returns all that was read.
func (c tty) until(t *testing.T, match func(string) bool) string {
	t.Helper()
	c.screen.SetReadDeadline(time.Now().Add(20 * time.Second))
	var b bytes.Buffer
	for piece := make([]byte, 64<<10); !match(b.String()); {
		n, err := c.screen.Read(piece)
		if err != nil {
			t.Fatalf("%v, after %q", err, b.String())
		}
		b.Write(piece[:n])
	}
	return b.String()
}

// frames is the frames in what was written to a terminal, each as its lines, without styles. What is not whole is left out.
func frames(written string) [][]string {
	var all [][]string
	for piece := range strings.SplitSeq(written, beginFrame) {
		if frame, _, ok := strings.Cut(piece, endFrame); ok {
			frame = regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(frame, "")
			all = append(all, strings.Split(strings.TrimPrefix(frame, beginLine), "\r\n"+beginLine))
		}
	}
	return all
}

// fits fails the test unless the frame is as large as the terminal and no line is wider.
func fits(t *testing.T, frame []string, width, height int) {
	t.Helper()
	if len(frame) != height {
		t.Errorf("%d lines, want %d:\n%s", len(frame), height, strings.Join(frame, "\n"))
	}
	for _, l := range frame {
		if columns(l) > width {
			t.Errorf("%d columns, want at most %d: %q", columns(l), width, l)
		}
		if printable(l) != l {
			t.Errorf("What a terminal takes for more than text: %q", l)
		}
	}
}

// live starts "kms status" in a terminal.
func live(t *testing.T, c tty, env ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], "kms", "status", "-interval", "200ms", "-socket", fixtures(t))
	cmd.Env = append(append(os.Environ(), runMain+"=1", "TERM=xterm", "LC_ALL=C.UTF-8", "NO_COLOR="), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.device, c.device, c.device
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// TestLiveStatus: frame after frame, as large as the terminal is, and in the end the terminal is as it was before.
func TestLiveStatus(t *testing.T) {
	for name, end := range map[string]func(c tty, p *os.Process) error{
		"SIGINT":  func(_ tty, p *os.Process) error { return p.Signal(syscall.SIGINT) },
		"SIGTERM": func(_ tty, p *os.Process) error { return p.Signal(syscall.SIGTERM) },
		"q":       func(c tty, _ *os.Process) error { _, err := io.WriteString(c.screen, "q"); return err },
		"Ctrl-C":  func(c tty, _ *os.Process) error { _, err := io.WriteString(c.screen, "\x03"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			c := openTTY(t, 80, 24)
			before := c.modes(t)
			cmd := live(t, c)
			written := c.until(t, func(s string) bool { return len(frames(s)) >= 2 })
			if !strings.HasPrefix(written, enterScreen+beginFrame) {
				t.Errorf("It begins with %q", written[:min(len(written), 50)])
			}
			if c.modes(t).Lflag&(unix.ECHO|unix.ICANON) != 0 {
				t.Error("The terminal shows keys, or waits for a whole line of them")
			}
			for _, f := range frames(written) {
				fits(t, f, 80, 24)
			}
			first := frames(written)[0]
			for _, want := range []string{
				"KMS WARNING - one of four hosts is down", "CRITICAL example.net: every host is down", "corp.example.org: normal", "HOST", "q ends",
			} {
				if !strings.Contains(strings.Join(first, "\n"), want) {
					t.Errorf("Without %q:\n%s", want, strings.Join(first, "\n"))
				}
			}
			for _, size := range [][2]uint16{{40, 15}, {132, 50}, {10, 3}, {80, 24}} {
				c.resize(t, size[0], size[1])
				written = c.until(t, func(s string) bool {
					all := frames(s)
					return len(all) > 0 && len(all[len(all)-1]) == int(size[1])
				})
				all := frames(written)
				fits(t, all[len(all)-1], int(size[0]), int(size[1]))
			}
			if err := end(c, cmd.Process); err != nil {
				t.Fatal(err)
			}
			written = c.until(t, func(s string) bool { return strings.Contains(s, leaveScreen) })
			if !strings.HasSuffix(written, leaveScreen) {
				t.Errorf("It ends with %q", written[max(0, len(written)-50):])
			}
			cmd.Wait()
			if status := cmd.ProcessState.ExitCode(); status != 1 {
				t.Errorf("Exit status %d, want that of a warning", status)
			}
			if after := c.modes(t); after != before {
				t.Errorf("The terminal was %+v before and is %+v now", before, after)
			}
		})
	}
}

// TestLiveColours: with NO_COLOR there are none, and a terminal that is dumb gets what a file would.
func TestLiveColours(t *testing.T) {
	for _, tc := range []struct {
		env           string
		live, colours bool
	}{{"NO_COLOR=", true, true}, {"NO_COLOR=1", true, false}, {"TERM=dumb", false, false}} {
		c := openTTY(t, 80, 24)
		cmd := live(t, c, tc.env)
		written := c.until(t, func(s string) bool { return len(frames(s)) > 0 || !tc.live && strings.Contains(s, "Last changes") })
		if got := strings.Contains(written, "\x1b[31m"); got != tc.colours {
			t.Errorf("%s: colours %t: %q", tc.env, got, written)
		}
		if got := strings.Contains(written, "\x1b"); got != tc.live {
			t.Errorf("%s: %q", tc.env, written)
		}
		if tc.live {
			io.WriteString(c.screen, "q")
			c.until(t, func(s string) bool { return strings.Contains(s, leaveScreen) })
		}
		cmd.Wait()
	}
}

// TestLiveWithoutServer: what was last known stays, and it says that it is old.
func TestLiveWithoutServer(t *testing.T) {
	c := openTTY(t, 80, 24)
	cmd := live(t, c)
	c.until(t, func(s string) bool { return len(frames(s)) > 0 })
	if err := os.Remove(cmd.Args[len(cmd.Args)-1]); err != nil {
		t.Fatal(err)
	}
	written := c.until(t, func(s string) bool { return strings.Contains(s, "is old") })
	all := frames(written + c.until(t, func(s string) bool { return len(frames(s)) > 0 }))
	last := strings.Join(all[len(all)-1], "\n")
	if !strings.Contains(last, "What is below is old: there is no socket") || !strings.Contains(last, "KMS WARNING") {
		t.Errorf("Got\n%s", last)
	}
	io.WriteString(c.screen, "q")
	c.until(t, func(s string) bool { return strings.Contains(s, leaveScreen) })
	cmd.Wait()
	if status := cmd.ProcessState.ExitCode(); status != 3 {
		t.Errorf("Exit status %d, want 3", status)
	}
}
