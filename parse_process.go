package kms

import (
	"path/filepath"
	"strings"

	"github.com/coredns/coredns/core/dnsserver"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

func (p *blockParser) store(args []string) (err error) {
	p.site.Store, err = p.path("store", args, config.ValidateStore)
	return err
}

func (p *blockParser) control(args []string) (err error) {
	p.site.Control, err = p.path("control", args, config.ValidateControl)
	return err
}

// status reads ADDRESS [NAME...].
func (p *blockParser) status(args []string) error {
	if len(args) == 0 {
		return p.c.Err("status ADDRESS [NAME...], as in \"status 127.0.0.1:8080\"")
	}
	if err := validateListen("status", args[0]); err != nil {
		return p.c.Err(err.Error())
	}
	s := &config.Status{Address: args[0]}
	for _, name := range args[1:] {
		s.Names = append(s.Names, absolute(name))
	}
	if err := s.Validate(); err != nil {
		return p.c.Err(err.Error())
	}
	p.site.Status = s
	return p.once("status", strings.Join(append([]string{s.Address}, s.Names...), " "))
}

// processKey is where an instance of CoreDNS keeps a property that a process has once.
type processKey string

// path reads the path of a file that belongs to the process: other blocks of the Corefile may name it too, but no other one.
// It is made absolute, so that one file has one name.
func (p *blockParser) path(what string, args []string, validate func(string) error) (string, error) {
	if len(args) != 1 {
		return "", p.c.Errf("%s PATH: one path, relative to CoreDNS's root or absolute", what)
	}
	if err := validate(args[0]); err != nil {
		return "", p.c.Err(err.Error())
	}
	path := args[0]
	if !filepath.IsAbs(path) {
		path = filepath.Join(dnsserver.GetConfig(p.c).Root, path)
	}
	path, err := filepath.Abs(path)
	if err == nil {
		err = validate(path)
	}
	if err != nil {
		return "", p.c.Err(err.Error())
	}
	return path, p.once(what, path)
}

// once keeps the value of a property that a process has once, for all blocks of the Corefile.
func (p *blockParser) once(what, value string) error {
	if earlier, ok := p.c.Get(processKey(what)).(string); ok && earlier != value {
		return p.c.Errf("%s %s: another kms block of this Corefile has %s: one %s per process: say the same in both",
			what, value, earlier, what)
	}
	p.c.Set(processKey(what), value)
	return nil
}
