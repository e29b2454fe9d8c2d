package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// process is a server that runs.
type process struct {
	cmd   *exec.Cmd
	said  bytes.Buffer  // to be read once ended is closed
	ended chan struct{} // closed when it is gone
}

const (
	startTime = 30 * time.Second // the first round of probes takes one or two
	stopTime  = 10 * time.Second // CoreDNS waits 5 for queries under way
)

// start starts a server. Whoever calls it must stop it.
func start(binary, corefile string) (*process, error) {
	p := &process{cmd: exec.Command(binary, "-quiet", "-conf", corefile), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	// A ^C is for the benchmark, which then stops the servers itself.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// awaitReady waits until the ready plugin at address says so.
func (p *process) awaitReady(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.ended:
			return fmt.Errorf("the server ended:\n%s", &p.said)
		case <-ctx.Done():
			return fmt.Errorf("the server is not ready: %w", ctx.Err())
		case <-tick.C:
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/ready", nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			continue // it does not listen yet
		}
		answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return nil
		}
	}
}

// stop ends the process and waits until it is gone.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM) // fails only if it is gone
	select {
	case <-p.ended:
	case <-time.After(stopTime):
		p.cmd.Process.Kill()
		<-p.ended
	}
}

// cpu is the processor time, user and system, that the process has used so far.
func (p *process) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	return cpuOf(stat)
}

// tick is the unit of /proc: USER_HZ is 100 wherever Go runs on Linux.
const tick = 10 * time.Millisecond

// cpuOf reads a line of /proc/PID/stat (proc(5)): after the program's name in parentheses, which may hold anything, utime and
// stime are the 12th and 13th field.
func cpuOf(stat []byte) (time.Duration, error) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("%q is not a line of /proc/PID/stat", stat)
	}
	user, err1 := strconv.ParseInt(string(fields[11]), 10, 64)
	system, err2 := strconv.ParseInt(string(fields[12]), 10, 64)
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}
