// Secrets of webhooks, which app settings refer to, and a key that SOPS may use.
@minLength(3)
@maxLength(24)
param name string
param location string
param tags object = {}
param principalId string
param publicAccess bool = true

@description('Roles of the app on the vault, by name.')
param roles object

@description('The identity that opens the vault for objects, and its role: keys alone, no secrets.')
param sourcePrincipalId string
param sourceRole string

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: subscription().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enablePurgeProtection: true
    enableSoftDelete: true
    publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: publicAccess ? 'Allow' : 'Deny'
    }
  }
}

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for role in items(roles): {
  name: guid(vault.id, principalId, role.value)
  scope: vault
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role.value)
  }
}]

resource sourceAssignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, sourcePrincipalId, sourceRole)
  scope: vault
  properties: {
    principalId: sourcePrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', sourceRole)
  }
}

output id string = vault.id
output uri string = vault.properties.vaultUri
