// Sidebyside writes one self-contained page that shows etcd-io/raft and tickraft beside each other: code, behaviour, speed.
//
//	sidebyside -root REPO -go MODULE [-etcd DIR -ours DIR] -out FILE
//
// REPO is tickraft's tree, MODULE etcd-io/raft's. The two other folders hold the same scripts, by name, as etcd and as tickraft ran them; a file
// panicked.txt among etcd's says where etcd panicked. The page shows etcd's source, so it is not to be committed.
package main

import (
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"strings"
)

//go:embed page.html
var pageHTML string

//go:embed style.css
var styleCSS string

//go:embed page.js
var pageJS string

// page is what page.html shows.
type page struct {
	Style     template.CSS
	JS        template.JS
	Files     []file
	Functions int
	WithTwin  int
	Marked    int
	Notes     []divergence
	Behaviour template.JS
	Scripts   int
	Speed     *speed
}

func main() {
	root := flag.String("root", "", "tickraft's tree")
	module := flag.String("go", "", "etcd-io/raft's tree")
	etcd := flag.String("etcd", "", "scripts as etcd ran them")
	ours := flag.String("ours", "", "the same scripts as tickraft ran them")
	out := flag.String("out", "", "the page")
	flag.Parse()
	if err := run(*root, *module, *etcd, *ours, *out); err != nil {
		fmt.Fprintln(os.Stderr, "sidebyside:", err)
		os.Exit(1)
	}
}

func run(root, module, etcd, ours, out string) error {
	p := page{Style: template.CSS(styleCSS), JS: template.JS(pageJS)}
	var err error
	if p.Notes, err = readDivergences(filepath.Join(root, "docs/divergence.md")); err != nil {
		return err
	}
	if p.Files, err = readCode(root, module, p.Notes); err != nil {
		return err
	}
	for _, f := range p.Files {
		for _, row := range f.Rows {
			if row.Kind == "func" {
				p.Functions++
				if row.Rust != "" {
					p.WithTwin++
				}
			}
			if len(row.Notes) > 0 {
				p.Marked++
			}
		}
	}
	runs := []scriptRun{}
	if etcd != "" {
		if runs, err = readRuns(etcd, ours); err != nil {
			return err
		}
	}
	p.Scripts = len(runs)
	text, err := json.Marshal(runs) // escapes <, > and &, so that no script ends the element
	if err != nil {
		return err
	}
	p.Behaviour = template.JS(text)
	if p.Speed, err = readSpeed(filepath.Join(root, "benches/results")); err != nil {
		return err
	}
	var b strings.Builder
	t, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return err
	}
	if err := t.Execute(&b, p); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(out, []byte(b.String()), 0o644); err != nil {
		return err
	}
	fmt.Printf("%d functions, %d with a twin; %d places with a divergence; %d scripts; %d KiB: %s\n",
		p.Functions, p.WithTwin, p.Marked, p.Scripts, b.Len()>>10, out)
	return nil
}
