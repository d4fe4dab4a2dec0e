"""From a teacher's features to its eigenbases: exact PCA, accumulated photo by photo, and the file it is kept in."""
