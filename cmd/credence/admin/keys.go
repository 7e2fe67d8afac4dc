package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// refreshLimit bounds a fetch of keys: one that was under way, which may have begun
// too early to count, and one after it, each with its discovery.
const refreshLimit = 25 * time.Second

// refresh answers with the number of usable keys once they have been fetched, and with
// 502 if that failed, which changes nothing: the last good keys stay. A fetch by hand
// needs no cool-down to pass; nothing but this socket can ask for one.
func (h *handler) refresh(w http.ResponseWriter, req *http.Request) {
	body, ok := read(w, req)
	if !ok {
		return
	}
	var provider string
	if err := members(body, "provider, its name in the configuration", map[string]*string{"provider": &provider}); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	keys := h.Keys[provider]
	switch {
	case provider == "":
		refuse(w, http.StatusBadRequest, errors.New("write provider, its name in the configuration"))
		return
	case keys == nil:
		refuse(w, http.StatusBadRequest, fmt.Errorf("no provider with keys is called %q; there are: %s", provider, strings.Join(slices.Sorted(maps.Keys(h.Keys)), ", ")))
		return
	}
	ctx, cancel := context.WithTimeout(req.Context(), refreshLimit)
	defer cancel()
	if err := keys.Refresh(ctx); err != nil {
		refuse(w, http.StatusBadGateway, fmt.Errorf("the keys of %s can't be fetched, so those from before stay in use: %w", provider, err))
		return
	}
	answer(w, http.StatusOK, map[string]int{"keys": keys.Stats().Keys})
}
