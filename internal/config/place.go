package config

// Place is where something stands in a Corefile or in a file that it imports.
type Place struct {
	File string `json:"file"`
	Line int    `json:"line"` // from 1; 0: the file as a whole
}

// Places is where what a block says stands: the block itself as "kms", a property as "ttl", an option of one as
// "update allow"; of what may stand several times, "host kms1.example.org:1688", "rehearse 127.0.0.1:16881", "update key a.b." and
// "responder limit rate".
type Places map[string]Place

// Of returns the place of the first of names that stands somewhere, and that of the block if none does.
func (p Places) Of(names ...string) Place {
	for _, n := range names {
		if at, ok := p[n]; ok {
			return at
		}
	}
	return p["kms"]
}
