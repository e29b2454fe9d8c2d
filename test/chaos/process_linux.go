package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A process is one of the real binary, in a namespace.
type process struct {
	cmd   *exec.Cmd
	clock *wallClock    // nil if nobody asked for one
	ended chan struct{} // closed when it is gone, and all that it said was heard
	err   error         // how it ended; to be read once ended is closed
}

// start starts the program in n. hear gets each line that it says, from a goroutine of its own. With clocked its clock is taken
// over before it runs; its clock is nil where that cannot be done.
func (n *namespace) start(clocked bool, hear func(line string), program string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(program, args...), ended: make(chan struct{})}
	out, in := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = in, in
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Ptrace: clocked}
	err := n.within(func() error {
		if err := p.cmd.Start(); err != nil || !clocked {
			return err
		}
		return p.takeClock()
	})
	if err != nil {
		return nil, err
	}
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadString('\n')
			if line != "" {
				hear(line)
			}
			if err != nil {
				return
			}
		}
	}()
	go func() {
		p.err = p.cmd.Wait()
		in.Close()
		<-heard
		if p.clock != nil {
			p.clock.close()
		}
		close(p.ended)
	}()
	return p, nil
}

// takeClock takes over the clock of p, which is traced by this thread and stopped at its first instruction, and lets it go.
func (p *process) takeClock() error {
	pid := p.cmd.Process.Pid
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || !status.Stopped() {
			return fmt.Errorf("waiting for the first stop of process %d: %w (%#x)", pid, err, status)
		}
		break
	}
	var err error
	if p.clock, err = newWallClock(pid); err != nil {
		p.clock = nil // it goes by the machine's
	}
	return unix.PtraceDetach(pid)
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// kill kills p and waits until it is gone.
func (p *process) kill() {
	p.cmd.Process.Kill() // fails only if it is gone
	<-p.ended
}

// stop asks p to end and waits until it is gone. It says whether that needed force.
func (p *process) stop(within time.Duration) error {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		return p.err
	case <-time.After(within):
		p.kill()
		return fmt.Errorf("it did not end within %s of SIGTERM", within)
	}
}

// starve lets p run for 50 ms of every 200 until done is closed.
func (p *process) starve(done <-chan struct{}) {
	defer p.signal(syscall.SIGCONT)
	for {
		for _, half := range []struct {
			signal syscall.Signal
			last   time.Duration
		}{{syscall.SIGSTOP, 150 * time.Millisecond}, {syscall.SIGCONT, 50 * time.Millisecond}} {
			p.signal(half.signal)
			select {
			case <-done:
				return
			case <-p.ended:
				return
			case <-time.After(half.last):
			}
		}
	}
}
