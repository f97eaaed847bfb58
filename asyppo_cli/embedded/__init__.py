"""The models that the package carries, made by ``asyppo warmstart``: a policy and a critic's backbone."""
