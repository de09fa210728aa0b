package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"html/template"
	"os"
	"path/filepath"
	"strings"
)

// goFile is a parsed Go file: the text of its functions and types by name.
type goFile struct {
	name  string
	src   []byte
	fset  *token.FileSet
	decls map[string]ast.Node
}

func parseGo(module, name string) (*goFile, error) {
	path := filepath.Join(module, name)
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	g := &goFile{name: name, src: src, fset: token.NewFileSet(), decls: map[string]ast.Node{}}
	tree, err := parser.ParseFile(g.fset, path, src, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	for _, d := range tree.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			g.decls["func "+funcName(d)] = d
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if t, ok := s.(*ast.TypeSpec); !ok {
					continue
				} else if d.Lparen.IsValid() {
					g.decls["type "+t.Name.Name] = t
				} else {
					g.decls["type "+t.Name.Name] = d
				}
			}
		}
	}
	return g, nil
}

// funcName gives raft.Step for a method of *raft.
func funcName(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return d.Name.Name
	}
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if id, ok := t.(*ast.Ident); ok {
		return id.Name + "." + d.Name.Name
	}
	return d.Name.Name
}

// take gives the line and the coloured text of a declaration, its comment included.
func (g *goFile) take(kind, name string) (int, template.HTML, error) {
	d, found := g.decls[kind+" "+name]
	if !found {
		return 0, "", fmt.Errorf("%s: no %s %s", g.name, kind, name)
	}
	begin, line := d.Pos(), g.fset.Position(d.Pos()).Line
	var doc *ast.CommentGroup
	switch d := d.(type) {
	case *ast.FuncDecl:
		doc = d.Doc
	case *ast.GenDecl:
		doc = d.Doc
	case *ast.TypeSpec:
		doc = d.Doc
	}
	if doc != nil {
		begin = doc.Pos()
	}
	text := g.src[g.fset.Position(begin).Offset:g.fset.Position(d.End()).Offset]
	return line, colourGo(text), nil
}

// goComplete fails when a function of the map's files is not in the map.
func goComplete(module string, files []file) error {
	for _, f := range files {
		g, err := parseGo(module, f.Name)
		if err != nil {
			return err
		}
		have := map[string]bool{}
		for _, r := range f.Rows {
			have[r.Kind+" "+r.Name] = true
		}
		for name := range g.decls {
			if strings.HasPrefix(name, "func ") && !have[name] {
				return fmt.Errorf("go-map.md: %s: no row for %s", f.Name, name)
			}
		}
	}
	return nil
}

// colourGo marks keywords (b), comments (i) and literals (u).
func colourGo(text []byte) template.HTML {
	fset := token.NewFileSet()
	var s scanner.Scanner
	s.Init(fset.AddFile("", -1, len(text)), text, nil, scanner.ScanComments)
	var out strings.Builder
	done := 0
	for {
		pos, tok, lit := s.Scan()
		if tok == token.EOF {
			break
		}
		tag := ""
		switch {
		case tok == token.COMMENT:
			tag = "i"
		case tok.IsKeyword():
			tag, lit = "b", tok.String()
		case tok == token.STRING || tok == token.CHAR || tok == token.INT || tok == token.FLOAT:
			tag = "u"
		}
		if tag == "" {
			continue
		}
		at := fset.Position(pos).Offset
		out.WriteString(template.HTMLEscapeString(string(text[done:at])))
		// A raw string or comment may have lost its carriage returns: take the source's own text.
		mark(&out, tag, string(text[at:min(at+len(lit), len(text))]))
		done = min(at+len(lit), len(text))
	}
	out.WriteString(template.HTMLEscapeString(string(text[done:])))
	return template.HTML(out.String())
}

func mark(out *strings.Builder, tag, text string) {
	out.WriteString("<" + tag + ">")
	out.WriteString(template.HTMLEscapeString(text))
	out.WriteString("</" + tag + ">")
}
