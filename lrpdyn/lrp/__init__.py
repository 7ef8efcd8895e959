"""Layer-wise relevance propagation on Captum: rules, canonisation, attribution."""
