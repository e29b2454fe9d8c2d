package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
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
	startTime = 60 * time.Second // 10,000 zones take some
	stopTime  = 10 * time.Second // CoreDNS waits 5 for queries under way
)

// launch starts a program, whose output goes to /dev/null but for what it says about errors. Whoever calls it must stop it.
func launch(program string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(program, args...), ended: make(chan struct{})}
	p.cmd.Stderr = &p.said
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

// kill ends the process at once and waits until it is gone.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}

// costing makes calls and tells what processor time each took of p.
func (p *process) costing(load func() ([]time.Duration, error)) (latencies []time.Duration, each time.Duration, err error) {
	before, err := p.cpu()
	if err != nil {
		return nil, 0, err
	}
	if latencies, err = load(); err != nil {
		return nil, 0, err
	}
	after, err := p.cpu()
	return latencies, (after - before) / time.Duration(max(1, len(latencies))), err
}

// cpu is the processor time, user and system, that the process and its children have used so far.
func (p *process) cpu() (time.Duration, error) {
	var all time.Duration
	for _, pid := range family(p.cmd.Process.Pid) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		used, err := cpuOf(stat)
		if err != nil {
			return 0, err
		}
		all += used
	}
	return all, nil
}

// memory is the octets of the process and its children that are in memory.
func (p *process) memory() (int64, error) {
	var all int64
	for _, pid := range family(p.cmd.Process.Pid) {
		statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			return 0, err
		}
		fields := bytes.Fields(statm)
		if len(fields) < 2 {
			return 0, fmt.Errorf("%q is not /proc/PID/statm", statm)
		}
		pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
		if err != nil {
			return 0, err
		}
		all += pages * int64(os.Getpagesize())
	}
	return all, nil
}

// family is a process, its children, theirs, and so on. Each thread has a list of those it made (proc(5)).
func family(pid int) []int {
	all := []int{pid}
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		children, _ := os.ReadFile(list) // the thread may be gone
		for _, field := range bytes.Fields(children) {
			if child, err := strconv.Atoi(string(field)); err == nil {
				all = append(all, family(child)...)
			}
		}
	}
	return all
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
