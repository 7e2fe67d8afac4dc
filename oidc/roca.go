package oidc

import "math/big"

// rocaPrimes are the odd primes whose product every weak generator used.
var rocaPrimes = [...]uint64{
	3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101,
	103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
}

// weakROCA says whether an RSA modulus has the mark of CVE-2017-15361, whose keys
// can be factored: both of its primes, and so the modulus, are a power of 65537
// modulo each small prime (Nemec et al., "The Return of Coppersmith's Attack",
// 2017, 2.1). Of sound keys, fewer than one in a hundred million look like that.
func weakROCA(n *big.Int) bool {
	for _, p := range rocaPrimes {
		residue := new(big.Int).Mod(n, new(big.Int).SetUint64(p)).Uint64()
		power := uint64(1)
		for range p - 1 {
			if power == residue {
				break
			}
			power = power * 65537 % p
		}
		if power != residue {
			return false
		}
	}
	return true
}
