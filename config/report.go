package config

import (
	"fmt"
	"strings"
)

// maxProblems is how many errors are collected, and as many warnings: more help
// nobody, and a hostile file could cause millions.
const maxProblems = 100

// report collects what is wrong with one file.
type report struct {
	file     *File
	errors   Problems
	warnings Problems
	full     bool // there was an error beyond maxProblems; going on is pointless

	said   map[string]bool // fields that have an error: one is enough
	broken map[string]bool // fields that couldn't be read: nothing more is said about them or below
}

func newReport(f *File) *report {
	return &report{file: f, said: map[string]bool{}, broken: map[string]bool{}}
}

// errorf reports what is wrong with a field, at the place of its value or, where
// it isn't written, at the place of what it would stand in.
func (r *report) errorf(field, format string, args ...any) {
	if r.said[field] || r.isBroken(field) {
		return
	}
	r.said[field] = true
	r.add(r.file.Problem(field, fmt.Sprintf(format, args...)))
}

// warnf is errorf for what may be as meant.
func (r *report) warnf(field, format string, args ...any) {
	if r.isBroken(field) || len(r.warnings) == maxProblems {
		return
	}
	p := r.file.Problem(field, fmt.Sprintf(format, args...))
	p.Severity = Warning
	r.warnings = append(r.warnings, p)
}

func (r *report) add(p Problem) {
	if len(r.errors) == maxProblems {
		r.full = true
		return
	}
	r.errors = append(r.errors, p)
}

// isBroken says whether a field, or one that it stands in, couldn't be read.
func (r *report) isBroken(field string) bool {
	for len(r.broken) > 0 && field != "" {
		if r.broken[field] {
			return true
		}
		field = field[:max(0, strings.LastIndexAny(field, ".["))]
	}
	return false
}

// err is every error in the file's order, or nil.
func (r *report) err() error {
	if len(r.errors) == 0 {
		return nil
	}
	r.errors.Sort()
	if r.full {
		more := Problem{File: r.file.name, Message: "and more; mend these first"}
		r.errors = append(r.errors, more)
	}
	return r.errors
}
