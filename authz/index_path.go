package authz

import "strings"

// node is a place in a tree of path patterns: all that begin with the same
// segments. A segment has the slash before it, and a pattern's text as it stands.
type node struct {
	few  []edge           // to the segments that may follow, while they are few;
	many map[string]*node // else here
	star *node            // where "*" follows

	// The rules with a pattern that ends here, in order.
	here  []candidate // and fits this path alone
	below []candidate // with "/**": it fits what follows as well

	first int // the smallest position here and in the nodes that follow
}

// candidate is a rule that fits where its path does, or may.
type candidate struct {
	position int
	more     *matcher // what it asks beside host and path; nil if nothing
}

type edge struct {
	segment string
	to      *node
}

// maxFew is how many segments are compared one by one, which is as fast as a map up
// to there. Most nodes have one or two, and a map of one is ten times the size.
const maxFew = 8

// newTree makes the tree of the rules at these positions, which are in order.
func newTree(rules []*rule, positions []int) *node {
	root := &node{first: positions[0]}
	for _, position := range positions {
		c := candidate{position: position}
		if m := &rules[position].match; m.conditional() {
			c.more = m
		}
		paths := rules[position].Match.Paths
		if len(paths) == 0 {
			root.below = append(root.below, c)
		}
		for _, pattern := range paths {
			root.add(pattern, c)
		}
	}
	return root
}

func (n *node) add(pattern string, c candidate) {
	pattern, below := strings.CutSuffix(pattern, "/**")
	for pattern != "" {
		var segment string
		segment, pattern = cutSegment(pattern)
		n = n.grow(segment, c.position)
	}
	if below {
		n.below = append(n.below, c)
	} else {
		n.here = append(n.here, c)
	}
}

// grow gives the node that follows, and makes it where there is none. Positions
// come in order, so that the first to need a node is the first in it.
func (n *node) grow(segment string, position int) *node {
	to := n.star
	if segment != star {
		to = n.next(segment)
	}
	if to != nil {
		return to
	}
	to = &node{first: position}
	switch {
	case segment == star:
		n.star = to
	case n.many != nil:
		n.many[segment] = to
	case len(n.few) < maxFew:
		n.few = append(n.few, edge{segment, to})
	default:
		n.many = map[string]*node{segment: to}
		for _, e := range n.few {
			n.many[e.segment] = e.to
		}
		n.few = nil
	}
	return to
}

// next gives the node that follows by this very segment, or nil.
func (n *node) next(segment string) *node {
	for i := range n.few {
		if n.few[i].segment == segment {
			return n.few[i].to
		}
	}
	return n.many[segment]
}

// search is the way of one request through the trees.
type search struct {
	request *Request
	best    int // position of the first rule that fits, of those seen; beyond all if none does
	steps   int // nodes and candidates seen
}

func (s *search) look(trees []*node) {
	for _, root := range trees {
		s.descend(root, s.request.path)
	}
}

// descend follows a path from n, which may be nil, as long as a rule before the best
// may be there.
func (s *search) descend(n *node, path string) {
	for n != nil && n.first < s.best {
		s.steps++
		s.try(n.below)
		if path == "" {
			s.try(n.here)
			return
		}
		var segment string
		segment, path = cutSegment(path)
		if n.star != nil && segment != "/" {
			s.descend(n.star, path)
		}
		n = n.next(segment)
	}
}

func (s *search) try(candidates []candidate) {
	for _, c := range candidates {
		if c.position >= s.best {
			return
		}
		s.steps++
		if c.more == nil || c.more.unmet(s.request) == "" {
			s.best = c.position
			return
		}
	}
}
