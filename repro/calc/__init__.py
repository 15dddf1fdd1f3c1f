"""Closed-form arithmetic as small pure functions, on floats, fractions, arrays and pint quantities alike."""
