"""A photo in the style of another: options, style statistics, transforms, engine, smoothing."""
