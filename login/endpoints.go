package login

// Endpoints are the paths that a [Handler] answers, under Options.Prefix, beside those
// of its clients' redirect URIs.
var Endpoints = []string{"/login", "/callback", "/logout", "/signed-out", "/session"}
