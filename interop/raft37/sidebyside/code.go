package main

import (
	"errors"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// file is a Go file with its rows of docs/go-map.md.
type file struct {
	Name string
	ID   string
	Rows []row
}

// row is a Go function or type beside its Rust twin.
type row struct {
	ID       string
	Kind     string // "func" or "type"
	Name     string // with the receiver: raft.Step
	GoLine   int
	Go       template.HTML
	RustName string
	RustFile string
	RustLine int
	RustIn   string // the impl that the twin stands in
	Rust     template.HTML
	Why      string // why there is no twin
	Notes    []template.HTML
}

var mapRow = regexp.MustCompile(`^\| (func|type) \| \d+ \| (\S+) \| (\S+) \| (.+) \|$`)

// readCode reads the map and both sources. It fails where the map names what does not exist, and where a Go function is not in the map.
func readCode(root, module string, notes []divergence) ([]file, error) {
	text, err := os.ReadFile(filepath.Join(root, "docs/go-map.md"))
	if err != nil {
		return nil, err
	}
	rust := rustTree{root: root}
	var files []file
	var gofile *goFile
	var wrong []error
	for _, line := range strings.Split(string(text), "\n") {
		if name, found := strings.CutPrefix(line, "## "); found && strings.HasSuffix(name, ".go") {
			if gofile, err = parseGo(module, name); err != nil {
				return nil, err
			}
			files = append(files, file{Name: name, ID: strings.ReplaceAll(strings.TrimSuffix(name, ".go"), "/", "-")})
			continue
		}
		m := mapRow.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if gofile == nil {
			return nil, fmt.Errorf("go-map.md: a row before the first file: %s", line)
		}
		f := &files[len(files)-1]
		r := row{Kind: m[1], Name: m[2], ID: f.ID + "-" + strings.ReplaceAll(m[2], ".", "-")}
		if r.GoLine, r.Go, err = gofile.take(r.Kind, r.Name); err != nil {
			return nil, err
		}
		if m[3] == "–" {
			r.Why = m[4]
		} else if err := rust.fill(&r, m[3], m[4]); err != nil {
			wrong = append(wrong, err)
		}
		for _, n := range notes {
			if n.mentions(r.Name) {
				r.Notes = append(r.Notes, n.HTML)
			}
		}
		f.Rows = append(f.Rows, r)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("go-map.md: no files")
	}
	return files, errors.Join(append(wrong, goComplete(module, files))...)
}
