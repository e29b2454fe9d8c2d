package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// A wallClock is that of one process, which can be stepped while the machine's is left alone, and so are the monotonic clocks of
// the process, as when somebody sets the time.
//
// A program asks the vDSO for the time, a piece of code that the kernel maps into each process. The first octets of its
// clock_gettime are replaced, in the memory of the one process: by a real system call, whose result for CLOCK_REALTIME, and
// for that alone, gets an offset added. The program itself is as it was built.
type wallClock struct {
	memory *os.File // of the process
	data   int64    // where the two offsets and the selector are
	slot   byte     // the selector
}

// wallStub is what takes the place of clock_gettime. Behind it come two offsets in seconds and an octet that says which
// holds: an octet changes all at once, eight may not.
var wallStub = []byte{
	0xf3, 0x0f, 0x1e, 0xfa, // endbr64
	0xb8, 0xe4, 0x00, 0x00, 0x00, // mov eax, 228 (clock_gettime)
	0x0f, 0x05, // syscall
	0x85, 0xff, // test edi, edi (CLOCK_REALTIME is 0)
	0x75, 0x19, // jnz to the ret
	0x85, 0xc0, // test eax, eax
	0x75, 0x15, // jnz to the ret
	0x0f, 0xb6, 0x15, 0x26, 0x00, 0x00, 0x00, // movzx edx, byte [the selector]
	0x48, 0x8d, 0x0d, 0x0f, 0x00, 0x00, 0x00, // lea rcx, [the offsets]
	0x48, 0x8b, 0x14, 0xd1, // mov rdx, [rcx+rdx*8]
	0x48, 0x01, 0x16, // add [rsi], rdx
	0xc3,                                     // ret
	0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, // up to octet 48
}

const (
	wallSelector = 16 // behind the offsets
	wallSize     = 48 + wallSelector + 1
)

// newWallClock takes over the clock of a process that has not run yet: it is stopped at its first instruction.
func newWallClock(pid int) (*wallClock, error) {
	begin, end, err := vdsoOf(pid)
	if err != nil {
		return nil, err
	}
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	image := make([]byte, end-begin)
	if _, err := memory.ReadAt(image, begin); err != nil {
		return nil, errors.Join(err, memory.Close())
	}
	at, err := clockSymbol(image)
	if err != nil {
		return nil, errors.Join(err, memory.Close())
	}
	code := append(bytes.Clone(wallStub), make([]byte, wallSelector+1)...)
	if _, err := memory.WriteAt(code, begin+at); err != nil {
		return nil, errors.Join(fmt.Errorf("the vDSO of process %d: %w", pid, err), memory.Close())
	}
	return &wallClock{memory: memory, data: begin + at + int64(len(wallStub))}, nil
}

// step sets the clock to offset, in whole seconds, off the machine's.
func (c *wallClock) step(offset time.Duration) error {
	other := 1 - c.slot
	value := binary.LittleEndian.AppendUint64(nil, uint64(int64(offset/time.Second)))
	if _, err := c.memory.WriteAt(value, c.data+8*int64(other)); err != nil {
		return err
	}
	if _, err := c.memory.WriteAt([]byte{other}, c.data+wallSelector); err != nil {
		return err
	}
	c.slot = other
	return nil
}

func (c *wallClock) close() error { return c.memory.Close() }

// vdsoOf is where the vDSO of a process is.
func vdsoOf(pid int) (begin, end int64, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x", &begin, &end); err != nil {
			return 0, 0, fmt.Errorf("/proc/%d/maps: %q: %w", pid, line, err)
		}
		return begin, end, nil
	}
	return 0, 0, fmt.Errorf("process %d has no vDSO", pid)
}

// clockSymbol is where in the image of a vDSO clock_gettime is.
func clockSymbol(image []byte) (int64, error) {
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return 0, fmt.Errorf("the vDSO: %w", err)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return 0, fmt.Errorf("the vDSO: %w", err)
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" {
			if s.Size < wallSize && s.Size != 0 {
				return 0, fmt.Errorf("the vDSO's clock_gettime has %d octets, %d are needed", s.Size, wallSize)
			}
			return int64(s.Value), nil
		}
	}
	return 0, errors.New("the vDSO has no clock_gettime")
}
