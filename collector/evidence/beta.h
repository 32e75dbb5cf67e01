/* The Beta distribution: where its probability lies. Source: the incomplete beta function as a
 * continued fraction (DLMF 8.17.22), evaluated by the modified Lentz method; inverted by bisection.
 * Pure. */
#pragma once

/* P(X <= x) for X of Beta(a, b); a and b positive and below 1e9. Accurate to 1e-10. */
double beta_below(double a, double b, double x);

/* The x with P(X <= x) = p, to 1e-9. */
double beta_quantile(double a, double b, double p);
