package config

import (
	"fmt"
	"strings"
)

// MaxStatusNames bounds the names by which a status page may be called.
const MaxStatusNames = 16

// Status is the status page of the process.
type Status struct {
	Address string   // to listen on, host:port
	Names   []string // that browsers may call it by, beside addresses and the machine's own name: absolute, lower-case
}

// Validate reports what is wrong with s, in words that say what would be right. Unlike a KMS host's, a name may be short: a
// person types it.
func (s Status) Validate() error {
	if len(s.Names) > MaxStatusNames {
		return fmt.Errorf("status: %d names: at most %d", len(s.Names), MaxStatusNames)
	}
	for i, name := range s.Names {
		text := strings.TrimSuffix(name, ".")
		for _, l := range strings.Split(text, ".") {
			if !isHostLabel(l) || len(text) > 253 {
				return fmt.Errorf("status: name %q: a host name, as in kms.example.org: the page is opened by it", text)
			}
		}
		for _, earlier := range s.Names[:i] {
			if name == earlier {
				return fmt.Errorf("status: name %s twice", text)
			}
		}
	}
	return nil
}
