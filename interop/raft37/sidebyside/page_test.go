package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// build writes the page of this tree with one script, which both ran alike, and one at which they differ.
func build(t *testing.T) (page, module string) {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "go.etcd.io/raft/v3").Output()
	if err != nil {
		t.Fatal(err)
	}
	module = strings.TrimSpace(string(out))
	dir := t.TempDir()
	for _, d := range []string{"etcd", "ours"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, d, "same.txt"), "tick 1\n----\nok </script> & <b>\n")
		put(t, filepath.Join(dir, d, "other.txt"), "tick 1\n----\n"+d+"\n")
	}
	file := filepath.Join(dir, "index.html")
	if err := run("../../..", module, filepath.Join(dir, "etcd"), filepath.Join(dir, "ours"), file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), module
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// goFunctions gives the functions of etcd's hand-written files by their panes' names, found by walking the module rather than the map.
func goFunctions(t *testing.T, module string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(module, func(path string, d os.DirEntry, err error) error {
		rel, _ := filepath.Rel(module, path)
		if d.IsDir() && (d.Name() == "rafttest" || strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") || rel == "state_trace_nop.go" {
			return err
		}
		tree, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil || ast.IsGenerated(tree) {
			return err
		}
		for _, d := range tree.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				names = append(names, strings.ReplaceAll(strings.TrimSuffix(rel, ".go"), "/", "-")+"-"+strings.ReplaceAll(funcName(f), ".", "-"))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

var section = regexp.MustCompile(`(?s)<section id="([^"]+)" class="pair[^"]*" data-kind="(func|type)".*?</section>`)

func TestPageHasAPaneForEveryGoFunction(t *testing.T) {
	page, module := build(t)
	panes := map[string]string{}
	for _, m := range section.FindAllStringSubmatch(page, -1) {
		if _, twice := panes[m[1]]; twice {
			t.Errorf("two panes are called %s", m[1])
		}
		panes[m[1]] = m[0]
	}
	names := goFunctions(t, module)
	if len(names) != 333 {
		t.Errorf("etcd has %d functions", len(names))
	}
	for _, name := range names {
		pane := panes[name]
		bare := name[strings.LastIndex(name, "-")+1:]
		if !strings.Contains(pane, ">func</b>") || !strings.Contains(pane, bare+"(") {
			t.Errorf("%s: no Go code", name)
		}
		hasTwin := regexp.MustCompile(`(?s)class="pane rust"><p class="at">\S+\.rs:\d+.*<pre><code>.+</code>`).MatchString(pane)
		if !hasTwin && !strings.Contains(pane, `class="why">No twin: `) {
			t.Errorf("%s: neither a twin nor a reason", name)
		}
	}
}

func TestPageNeedsNothingElseAndLoadsQuickly(t *testing.T) {
	page, _ := build(t)
	if n := len(page); n > 2<<20 {
		t.Errorf("the page has %d bytes", n)
	}
	for _, outside := range []string{`src="`, `href="http`, "@import", "url(", "<link"} {
		// The code that is shown is escaped, so only the page itself can have these.
		if strings.Contains(page, outside) {
			t.Errorf("the page has %s", outside)
		}
	}
	for _, want := range []string{`\u003c/script\u003e`, `"name":"other"`, `"differs":1`, `class="notes"`, "Differs from Go"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}

func TestAlign(t *testing.T) {
	a, b := strings.Split("a b c d e f", " "), strings.Split("a x c e e2 f", " ")
	got := align(a, b)
	want := [][2]int{{0, 0}, {1, 1}, {2, 2}, {3, -1}, {4, 3}, {-1, 4}, {5, 5}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
	if got := align(a, a); len(got) != 6 || got[3] != [2]int{3, 3} {
		t.Errorf("%v", got)
	}
}

func TestRustItems(t *testing.T) {
	f := rustFile{src: `//! A file.
use a::{b, c};
/// Docs with a { brace.
#[derive(Debug, Clone)]
pub struct S<'a> { x: &'a str, c: char }
impl<'a> S<'a> {
    /// One.
    #[doc(alias = "One")]
    pub const fn one(&self) -> [u8; 2] { let _ = ('{', "}\"", r#"}""#, b'\''); [0; 2] }
    fn two(f: impl Fn(u8) -> u8);
}
#[cfg(test)]
mod tests { fn one() {} }
`}
	f.find()
	got := map[string]string{}
	for _, it := range f.items {
		if it.keyword == "fn" || it.keyword == "struct" {
			got[it.in+"/"+it.name] = f.src[it.begin:it.end]
		}
	}
	if s := got["/S"]; !strings.HasPrefix(s, "/// Docs") || !strings.HasSuffix(s, "char }") {
		t.Errorf("S: %q of %v", s, got)
	}
	if s := got["impl<'a> S<'a>/one"]; !strings.HasPrefix(s, "/// One.") || !strings.HasSuffix(s, "[0; 2] }") {
		t.Errorf("one: %q of %v", s, got)
	}
	for _, name := range []string{"impl<'a> S<'a>/two", "mod tests/one"} {
		if got[name] == "" {
			t.Errorf("no %s in %v", name, got)
		}
	}
}

// What is marked as keyword, comment or literal is the text itself, with nothing lost.
func TestColouringKeepsTheText(t *testing.T) {
	tags := regexp.MustCompile(`</?[biu]>`)
	for _, src := range []string{"fn f<'a>(x: &'a str) -> char { '\\'' /* c */ } // <end>\n", "let s = r\"a\\\"; 1..2"} {
		plain := tags.ReplaceAllString(string(colourRust(src)), "")
		for from, to := range map[string]string{"&lt;": "<", "&gt;": ">", "&#39;": "'", "&#34;": `"`} {
			plain = strings.ReplaceAll(plain, from, to)
		}
		if plain = strings.ReplaceAll(plain, "&amp;", "&"); plain != src {
			t.Errorf("%q became %q", src, plain)
		}
	}
}

func TestSpeedShowsTheLatestReport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "benches", "results")
	if s, err := readSpeed(dir); s != nil || err != nil {
		t.Fatalf("without results: %v, %v", s, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "README.md"), "# Comparison\n\nOn <x>.\n\n| case | figure |\n|---|---|\n| a | **1** |\n\n## Plots\n\n![a.svg](a.svg)\n")
	put(t, filepath.Join(dir, "a.svg"), `<?xml version="1.0"?><svg width="8" height="4" xmlns="http://www.w3.org/2000/svg"><script>bad()</script><line/></svg>`)
	s, err := readSpeed(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := `<h3>Comparison</h3><p>On &lt;x&gt;.</p><div class="wide"><table><tr><th>case</th><th>figure</th></tr><tr><td>a</td><td><b>1</b></td></tr></table></div>`
	if s.From != "benches/results/README.md" || string(s.Body) != want {
		t.Errorf("%s: %s", s.From, s.Body)
	}
	if len(s.Plots) != 1 || string(s.Plots[0].SVG) != `<svg viewBox="0 0 8 4" xmlns="http://www.w3.org/2000/svg"><line/></svg>` {
		t.Errorf("%v", s.Plots)
	}
}
